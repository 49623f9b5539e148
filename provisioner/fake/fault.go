package fake

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Op names a call that a fault can meet.
type Op string

// The operations: the methods of Driver, Runtime, NetworkKeeper, Stager, Stage, Pauser, Meter, Surveyor, Killer, Restarter, Watcher and Ports.
const (
	OpDriverReady   Op = "driver.ready"
	OpPrepare       Op = "prepare"
	OpCreate        Op = "create"
	OpDestroy       Op = "destroy"
	OpRuntimeReady  Op = "runtime.ready"
	OpResolveImage  Op = "resolve-image"
	OpInspect       Op = "inspect"
	OpExec          Op = "exec"
	OpCopyTo        Op = "copy-to"
	OpCopyFrom      Op = "copy-from"
	OpLogs          Op = "logs"
	OpInventory     Op = "inventory" // the first page of a list
	OpNextPage      Op = "next-page" // each further one
	OpRemove        Op = "remove"
	OpReserve       Op = "reserve"
	OpRelease       Op = "release"
	OpReconcile     Op = "reconcile"
	OpCloseNetworks Op = "close-networks"
	OpStage         Op = "stage"
	OpMark          Op = "mark"
	OpDeliver       Op = "deliver"
	OpPause         Op = "pause"
	OpUnpause       Op = "unpause"
	OpTraffic       Op = "traffic"
	OpUsage         Op = "usage"
	OpKill          Op = "kill"
	OpRestart       Op = "restart"
	OpWatch         Op = "watch"
	OpDial          Op = "dial"
	OpListen        Op = "listen"
	// AnyOp is every call, for faults of the provider as a whole.
	AnyOp Op = "*"
)

// Stage is where in a call a fault strikes.
type Stage string

// The stages. Only OpCreate and OpDestroy have a Half: some resources are made, or gone, and others are not.
const (
	Before Stage = "before"
	Half   Stage = "half"
	After  Stage = "after"
)

// Always is the Times of a fault that strikes every matching call.
const Always = -1

// Fault is what happens to calls that match: first what is left behind is made,
// then Delay passes, then Hold keeps the call, then Fail ends it.
type Fault struct {
	Op Op
	// Environment is the id of the only environment to strike; empty for any call.
	Environment string
	// Stage is Before when empty.
	Stage Stage
	// Times is how many calls are struck: 0 means one, Always every one.
	Times int
	// Skip lets that many matching calls pass first.
	Skip int
	// Every strikes only each Every-th matching call after those, beginning with the first; 0 and 1 mean each.
	Every int

	// Delay passes before the call goes on, or its context ends.
	Delay time.Duration
	// Hold keeps the call until Injection.Lift, or until its context ends: a call that hangs.
	Hold bool
	// Leave are the kinds of resources that a create struck at Half has made.
	Leave []string
	// Forget makes the driver lose what it knows of this create: working files and handle.
	Forget bool
	// Corrupt makes the state in the handle unreadable (OpCreate, After).
	Corrupt bool
	// Exit makes the sandbox exit at once with this code (OpCreate, After), which fails the create.
	Exit *int
	// Fail is the error that the call returns.
	Fail *Failure
}

// Failure is an error to return.
type Failure struct {
	Class       provisioner.Class
	Sentence    string
	Unavailable bool
	// Unprepared makes it wrap provisioner.ErrUnprepared.
	Unprepared bool `json:",omitempty"`
}

func (f *Failure) err(op Op) error {
	sentence := f.Sentence
	if sentence == "" {
		sentence = "scripted failure"
	}
	err := &provisioner.Error{Class: f.Class, Op: string(op), Sentence: sentence, Unavailable: f.Unavailable}
	if f.Unprepared {
		err.Err = provisioner.ErrUnprepared
	}
	return err
}

// FailBefore makes one call fail before it did anything.
func FailBefore(op Op, class provisioner.Class, sentence string) Fault {
	return Fault{Op: op, Stage: Before, Fail: &Failure{Class: class, Sentence: sentence}}
}

// FailAfter makes one call fail after it did all; a create's handle is returned with the error.
func FailAfter(op Op, class provisioner.Class, sentence string) Fault {
	return Fault{Op: op, Stage: After, Fail: &Failure{Class: class, Sentence: sentence}}
}

// LoseReply makes one call do its work and return Transient, with nothing known of what it did.
func LoseReply(op Op) Fault {
	return Fault{Op: op, Stage: After, Forget: true, Fail: &Failure{Class: provisioner.Transient, Sentence: "the connection was lost before the reply came"}}
}

// Hang keeps one call at a stage until its context ends or the injection is lifted.
func Hang(op Op, stage Stage) Fault { return Fault{Op: op, Stage: stage, Hold: true} }

// Flap makes every second call fail, the first one too, for as long as it is not lifted: health that comes and goes.
func Flap(op Op, class provisioner.Class) Fault {
	return Fault{Op: op, Stage: Before, Times: Always, Every: 2, Fail: &Failure{Class: class, Sentence: "scripted: now it works and now it does not"}}
}

// HalfCreate makes one create fail with only these kinds of resources made, which its state knows.
func HalfCreate(kinds ...string) Fault {
	return Fault{
		Op: OpCreate, Stage: Half, Leave: kinds,
		Fail: &Failure{Class: provisioner.Permanent, Sentence: "scripted failure in the middle"},
	}
}

// ExitAtOnce makes one create fail because its sandbox exits with this code.
func ExitAtOnce(code int) Fault {
	return Fault{Op: OpCreate, Stage: After, Exit: &code, Fail: &Failure{
		Class: provisioner.Permanent, Sentence: fmt.Sprintf("the container exited at once with code %d", code),
	}}
}

// CorruptState makes one create return a state that cannot be read.
func CorruptState() Fault { return Fault{Op: OpCreate, Stage: After, Corrupt: true} }

// scripted is a fault with what became of it.
type scripted struct {
	Fault Fault
	Order int
	Seen  int
	Taken int
	// Struck counts the calls that were taken and by now have left what the fault leaves.
	Struck int
	Lifted bool
}

// Injection is a fault that was handed to a world.
type Injection struct {
	w   *World
	key string
}

// Inject adds a fault; the first injected that matches a call is the one that strikes.
// On a folder it holds for every process that shares it, also one started later.
func (w *World) Inject(f Fault) (*Injection, error) {
	if f.Stage == "" {
		f.Stage = Before
	}
	if f.Times == 0 {
		f.Times = 1
	}
	in := &Injection{w: w}
	err := w.tx(func() error {
		order := 1
		for _, s := range w.faults.rows {
			order = max(order, s.Order+1)
		}
		in.key = fmt.Sprintf("%06d", order)
		return w.faults.put(in.key, &scripted{Fault: f, Order: order})
	})
	if err != nil {
		return nil, fmt.Errorf("inject fault: %w", err)
	}
	return in, nil
}

// Reached waits until the fault has struck, and what it leaves is there.
func (in *Injection) Reached(ctx context.Context) error {
	return in.w.await(ctx, func() (bool, error) {
		s, ok := in.w.faults.rows[in.key]
		return ok && s.Struck > 0, nil
	})
}

// Taken counts the calls that were struck.
func (in *Injection) Taken() (int, error) {
	taken := 0
	err := in.w.tx(func() error {
		if s, ok := in.w.faults.rows[in.key]; ok {
			taken = s.Taken
		}
		return nil
	})
	return taken, err
}

// Lift ends the fault: calls that it holds go on, and no further call is struck.
func (in *Injection) Lift() error {
	return in.w.tx(func() error {
		s, ok := in.w.faults.rows[in.key]
		if !ok {
			return nil
		}
		s.Lifted = true
		return in.w.faults.put(in.key, s)
	})
}

// begin counts a call, and ends it when ctx has ended or the provider is away.
func (w *World) begin(ctx context.Context, op Op) error {
	if err := ctx.Err(); err != nil {
		return cancelled(op, err)
	}
	return w.tx(func() error {
		w.calls[op]++
		if w.switches.rows["away"] {
			return &provisioner.Error{Class: provisioner.Transient, Op: string(op), Sentence: "the fake provider is switched off", Unavailable: true}
		}
		return nil
	})
}

// reach plays the fault, if any, that a call meets at a stage. What the fault
// leaves is done by leave, before the failure is returned.
func (w *World) reach(ctx context.Context, op Op, environment string, stage Stage, leave func(Fault) error) error {
	if err := ctx.Err(); err != nil {
		return cancelled(op, err)
	}
	key, fault, err := w.take(op, environment, stage)
	if err != nil || key == "" {
		return err
	}
	if leave != nil {
		if err := leave(fault); err != nil {
			return err
		}
	}
	if err := w.struck(key); err != nil {
		return err
	}
	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return cancelled(op, ctx.Err())
		}
	}
	if fault.Hold {
		err := w.await(ctx, func() (bool, error) {
			s, ok := w.faults.rows[key]
			return !ok || s.Lifted, nil
		})
		if err != nil {
			return cancelled(op, err)
		}
	}
	if fault.Fail != nil {
		return fault.Fail.err(op)
	}
	return nil
}

// take finds the fault that a call meets, and writes down that it did.
func (w *World) take(op Op, environment string, stage Stage) (key string, fault Fault, err error) {
	err = w.tx(func() error {
		keys := make([]string, 0, len(w.faults.rows))
		for k := range w.faults.rows {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			s := w.faults.rows[k]
			if !s.matches(op, environment, stage) {
				continue
			}
			s.Seen++
			if s.due() {
				s.Taken++
				key, fault = k, s.Fault
			}
			if err := w.faults.put(k, s); err != nil {
				return err
			}
			if key != "" {
				return nil
			}
		}
		return nil
	})
	return key, fault, err
}

// struck tells who waits for a fault that all of it is there.
func (w *World) struck(key string) error {
	return w.tx(func() error {
		s, ok := w.faults.rows[key]
		if !ok {
			return nil
		}
		s.Struck++
		return w.faults.put(key, s)
	})
}

func (s *scripted) matches(op Op, environment string, stage Stage) bool {
	f := s.Fault
	return (f.Op == op || f.Op == AnyOp) && f.Stage == stage && !s.Lifted &&
		(f.Environment == "" || f.Environment == environment) &&
		(f.Times == Always || s.Taken < f.Times)
}

// due reports whether the call counted last is to be struck.
func (s *scripted) due() bool {
	after := s.Seen - s.Fault.Skip
	return after > 0 && (after-1)%max(s.Fault.Every, 1) == 0
}

func cancelled(op Op, err error) error {
	return &provisioner.Error{Class: provisioner.Cancelled, Op: string(op), Sentence: "the call was cancelled", Err: err}
}
