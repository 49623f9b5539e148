package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/evidence"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// settleFor is how long a create that was passed on by a daemon which then died may still take effect: the engine reads what
// it was sent as soon as it runs.
const settleFor = 10 * time.Second

// make has the driver make an environment, through a door of the environment's own where the host's engine has a broker, and
// looks at what was made before anybody may use it.
func (m maker) make(ctx context.Context, h *target.Host, env fleet.Environment, spec provisioner.Spec, log *progress) (provisioner.Handle, error) {
	if h.Broker == nil {
		return h.Driver.Create(ctx, spec, log.observe)
	}
	if err := m.held.reason(spec); err != nil {
		return provisioner.Handle{}, err
	}
	door, err := m.openDoor(ctx, h, env, &spec, true)
	if err != nil {
		return provisioner.Handle{}, err
	}
	handle, err := h.Driver.Create(ctx, spec, log.observe)
	door.Close()
	if err != nil {
		if fault := door.fault(); fault != nil && !provisioner.Is(err, provisioner.Cancelled) {
			return handle, fault
		}
		return handle, faultOfEngine(door, refusedBy(door, env, err))
	}
	if err := door.Judge(ctx, handle.Sandbox.ID); err != nil {
		if provisioner.Is(err, provisioner.Permanent) {
			m.held.hold(spec, err)
			m.logger.Error("a blueprint made something else than it may; it is held", "blueprint", env.Blueprint, "digest", env.Blueprint.Digest,
				"environment", env.Name, "error", err)
		}
		return handle, err
	}
	return handle, nil
}

// faultOfEngine makes a create that failed one that is tried again, as often as such are, when the engine failed: its own error
// says nothing of what was asked for, though the driver, which knows only its text, takes it for final.
func faultOfEngine(door *workDoor, err error) error {
	var own *provisioner.Error
	teller, ok := door.Door.(provisioner.FaultTeller)
	if !ok || teller.EngineFault() == nil || door.Refusal() != nil || !errors.As(err, &own) || own.Class != provisioner.Permanent {
		return err
	}
	passing := *own
	passing.Class = provisioner.Transient
	return &passing
}

// refusedBy gives the broker's refusal as the cause of a create that failed, where there is one: Terraform's own words about it
// are longer and less exact.
func refusedBy(door provisioner.Door, env fleet.Environment, err error) error {
	refusal := door.Refusal()
	if refusal == nil || provisioner.Is(err, provisioner.Cancelled) {
		return err
	}
	return &provisioner.Error{
		Class: provisioner.Permanent, Op: "apply blueprint",
		Sentence: fmt.Sprintf("bothy refuses the blueprint %s: %s", env.Blueprint, refusal), Err: refusal,
	}
}

// workDoor is a door for a piece of work, with what kept requests from passing that is none of the blueprint's doing: the driver
// tells it as a failure like any other.
type workDoor struct {
	provisioner.Door

	mu     sync.Mutex
	kept   error // of a record that refused
	lapsed bool
}

// fault gives the cause that is not the blueprint's; nil for none.
func (d *workDoor) fault() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil && d.lapsed {
		return provisioner.Errorf(provisioner.Transient, "create environment", "%w", errUntrusted)
	}
	return d.kept
}

// openDoor opens a door to a host's engine for the work on an environment and writes its address into spec.
func (w *Worker) openDoor(ctx context.Context, h *target.Host, env fleet.Environment, spec *provisioner.Spec, create bool) (*workDoor, error) {
	h.Broker.Harden(&spec.Sandbox)
	trust := w.running.trustOf(env.ID)
	record := func(o provisioner.Object) fleet.Object {
		return fleet.Object{Generation: env.Work.Generation, Kind: o.Kind, Name: o.Name, ID: o.ID, Answered: true, At: w.clock.Now()}
	}
	door := &workDoor{}
	opened, err := h.Broker.Open(ctx, provisioner.Grant{
		Spec: *spec, Create: create,
		Trusted: func() bool {
			holds := trust != nil && trust.Holds()
			if !holds {
				door.mu.Lock()
				defer door.mu.Unlock()
				door.lapsed = true
			}
			return holds
		},
		Intend: func(ctx context.Context, o provisioner.Object) error {
			err := w.store.IntendObject(ctx, env.ID, record(o))
			if err != nil && ctx.Err() == nil {
				door.mu.Lock()
				defer door.mu.Unlock()
				door.kept = fmt.Errorf("record %s %s before it is made: %w", o.Kind, o.Name, err)
			}
			return err
		},
		Answered: func(o provisioner.Object) { w.noteAnswer(ctx, env, record(o)) },
	})
	if err != nil {
		return nil, err
	}
	door.Door = opened
	spec.Sandbox.Engine = opened.Endpoint()
	return door, nil
}

// noteAnswer records what the engine said to a create. It is not cut off by the work's end. Should it not get through, the
// object counts as unanswered, and is looked for by its name and its labels.
func (w *Worker) noteAnswer(ctx context.Context, env fleet.Environment, o fleet.Object) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := w.store.AnswerObject(ctx, env.ID, o)
	for fleet.CodeOf(err) == fleet.CodeUnavailable && bus.Wait(ctx, nil, finishRetry) == nil {
		err = w.store.AnswerObject(ctx, env.ID, o)
	}
	if err != nil {
		w.logger.Error("recording what was made failed; it is found by its labels", "environment", env.Name, "kind", o.Kind, "name", o.Name, "error", err)
	}
}

// trustOf gives the trust of the work under way on an environment; nil for none.
func (r *running) trustOf(id string) *clock.Trust {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[id]; j != nil {
		return j.trust
	}
	return nil
}

// recordedThere gives the objects on record that exist and are not among those found by label.
func (r remover) recordedThere(ctx context.Context, h *target.Host, env fleet.Environment, found []provisioner.Found) ([]provisioner.Found, error) {
	if h.Broker == nil {
		return nil, nil
	}
	objects, err := r.store.Objects(ctx, env.ID)
	if err != nil && !evidence.Damaged(err) { // what is found by its labels goes all the same; allAnswered keeps it from being proven
		return nil, err
	}
	var more []provisioner.Found
	for _, o := range objects {
		if o.ID == "" || slices.ContainsFunc(found, func(f provisioner.Found) bool { return f.Kind == o.Kind && (f.ID == o.ID || f.Name == o.Name) }) {
			continue
		}
		there, err := h.Broker.Exists(ctx, provisioner.Object{Kind: o.Kind, Name: o.Name, ID: o.ID})
		if err != nil {
			return nil, fmt.Errorf("look for %s %s: %w", o.Kind, o.Name, err)
		}
		if there {
			more = append(more, r.byRecord(env, o.Kind, o.ID, o.Name))
		}
	}
	return more, nil
}

// allAnswered gives an error while a create for an environment may still take effect: it is not gone before that.
func (r remover) allAnswered(ctx context.Context, h *target.Host, env fleet.Environment) error {
	if h.Broker == nil {
		return nil
	}
	const op = "prove that nothing is left"
	if n := h.Broker.Unanswered(env.ID); n > 0 {
		return provisioner.Errorf(provisioner.Transient, op, "the engine has not answered %d of the requests to create something for it", n)
	}
	objects, err := r.store.Objects(ctx, env.ID)
	if err != nil {
		return err
	}
	now := r.clock.Now()
	for _, o := range objects {
		if left := o.At.Add(settleFor).Sub(now); !o.Answered && left > 0 {
			return provisioner.Errorf(provisioner.Transient, op,
				"a daemon died while it had %s %s created, which may still happen within %s", o.Kind, o.Name, left.Round(time.Second))
		}
	}
	return nil
}

// heldBlueprints are those that made something else than they may, with the inputs that they did it with: nobody holds a
// blueprint for others by inputs of his own. They are held as long as this process lives.
type heldBlueprints struct {
	mu sync.Mutex
	of map[string]error
}

func heldKey(spec provisioner.Spec) string {
	inputs, err := json.Marshal(spec.Inputs)
	if err != nil {
		inputs = nil // what cannot be encoded never reaches Terraform
	}
	return spec.Blueprint.Digest + string(inputs)
}

func (h *heldBlueprints) hold(spec provisioner.Spec, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[string]error{}
	}
	if len(h.of) < mostHeldBlueprints {
		h.of[heldKey(spec)] = why
	}
}

// mostHeldBlueprints bounds what is remembered; what is not is found out again.
const mostHeldBlueprints = 1000

func (h *heldBlueprints) reason(spec provisioner.Spec) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if why := h.of[heldKey(spec)]; why != nil {
		return &provisioner.Error{
			Class: provisioner.Permanent, Op: "apply blueprint", Err: why, Sentence: fmt.Sprintf(
				"the blueprint %s@%s is held because of what it made before: %s", spec.Blueprint.Name, spec.Blueprint.Version, provisioner.Sentence(why)),
		}
	}
	return nil
}

// check tells of blueprints that are held.
func (h *heldBlueprints) check(context.Context) doctor.Check {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, why := range h.of {
		return doctor.Check{
			Name: "held", Status: doctor.Warning,
			Message: fmt.Sprintf("%d blueprints made something else than they may and are held, one of them: %s", len(h.of), provisioner.Sentence(why)),
			Hint:    "mend the blueprint and give it a new version; if the engine is at fault, restart bothyd once that is mended",
		}
	}
	return doctor.Check{Name: "held", Status: doctor.OK, Message: "no blueprint is held"}
}
