// Package fake is a provider that exists in memory, or in a folder of JSON
// files: a Driver, and a Runtime with every capability, over one shared World, with
// faults that tests script per call. It passes the same conformance suite as
// the real implementations.
//
// Nothing here runs a program or opens a socket. Exec knows a small set of
// built-in commands (see exec.go), among them a shell of one line.
package fake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Options shape a World. The zero value is a world in memory.
type Options struct {
	// Dir persists the world: one JSON file a resource, written by atomic
	// rename. A process that is killed and started again finds what exists, and
	// several processes may share one folder. Empty: memory only.
	Dir string
	// Images are the references that exist; nil means bothy/base and bothy/build.
	Images []string
	// Key signs the labels of networks that the NetworkKeeper makes ahead, for Instance.
	Key      provisioner.Key
	Instance string
	// Spare is how many networks are kept ahead.
	Spare int
	// Like is the sort of provider that it plays.
	Like Personality
	// Lack changes what the personality declares: takes capabilities away, or makes lists later. nil for nothing.
	Lack func(can *provisioner.Capabilities)
	// Now is the provider's clock; nil means time.Now, because a provider stamps what it makes.
	Now func() time.Time
}

// World is what exists at the fake provider. Its methods are safe for use by many goroutines.
type World struct {
	opts Options
	like character
	now  func() time.Time

	mu        sync.Mutex
	disk      *disk
	resources *table[*resource]
	work      *table[*record]
	faults    *table[*scripted]
	switches  *table[bool]
	byName    map[string]string
	slotIDs   map[string]bool
	spareIDs  map[string]bool
	onNetwork map[string]map[string]bool
	changed   chan struct{}
	lists     map[string]list
	listed    int64
	changes   []change // that lists do not show yet
	frozen    []provisioner.Found
	isFrozen  bool
	disarmed  bool
	calls     map[Op]int
	// pressure and processors are what SetPressure said.
	pressure   float64
	processors int
	processes  map[string]map[int64]string
	ports      map[string]map[int]*listener // by sandbox
	started    int64
	staged     int
	breaches   []string
	lives      []Life
	// happened are what Watch tells, in order, for as long as somebody watches.
	happened []provisioner.Found
	watchers int
	silent   bool
	news     chan struct{}
}

// resource is one thing at the provider.
type resource struct {
	Kind, ID, Name string
	Labels         map[string]string
	CreatedAt      time.Time
	Sandbox        *sandbox `json:",omitempty"`
}

// sandbox is what a resource has in which commands run.
type sandbox struct {
	Network, Image string
	Status         provisioner.Status
	Files          tree `json:",omitempty"`
	Logs           []provisioner.LogLine
	Traffic        int64         `json:",omitempty"`
	CPUTime        time.Duration `json:",omitempty"`
	OOMKills       int64         `json:",omitempty"`
	ForksRefused   int64         `json:",omitempty"`
	// Usage is what SetUsage set.
	Usage *provisioner.Usage `json:",omitempty"`
	// OffNetwork says that whatever held its network has ended.
	OffNetwork bool `json:",omitempty"`
}

// ended reports whether the main process is over; a frozen one is not.
func (s *sandbox) ended() bool { return s.Status.Ended() }

// end is what becomes of a sandbox whose main process is over.
func (s *sandbox) end(at time.Time, exitCode int, cause string) {
	s.Status = provisioner.Status{ExitCode: exitCode, Error: cause, StartedAt: s.Status.StartedAt, EndedAt: at}
}

// New opens a world; with Options.Dir, the one that is there. A folder that
// cannot be used makes every call fail, with class Permanent.
func New(opts Options) *World {
	w := &World{
		opts:      opts,
		like:      opts.Like.character(),
		now:       opts.Now,
		lists:     map[string]list{},
		byName:    map[string]string{},
		slotIDs:   map[string]bool{},
		spareIDs:  map[string]bool{},
		onNetwork: map[string]map[string]bool{},
		calls:     map[Op]int{},
		processes: map[string]map[int64]string{},
		ports:     map[string]map[int]*listener{},
	}
	if w.now == nil {
		w.now = time.Now
	}
	if opts.Lack != nil {
		opts.Lack(&w.like.can)
	}
	if w.opts.Images == nil {
		w.opts.Images = []string{"bothy/base", "bothy/build"}
	}
	w.disk = openDisk(opts.Dir)
	w.resources = newTable(w.disk, "resources", w.index)
	w.work = newTable[*record](w.disk, "work", nil)
	w.faults = newTable[*scripted](w.disk, "faults", nil)
	w.switches = newTable[bool](w.disk, "switches", nil)
	return w
}

// index keeps what is looked up often: ids by name, networks of the keeper, sandboxes on a network.
func (w *World) index(old, now *resource) {
	w.noteChange(old, now)
	if old != nil {
		delete(w.byName, old.Kind+"/"+old.Name)
		delete(w.slotIDs, old.ID)
		delete(w.spareIDs, old.ID)
		if old.Sandbox != nil {
			delete(w.onNetwork[old.Sandbox.Network], old.ID)
		}
	}
	if now == nil {
		return
	}
	w.byName[now.Kind+"/"+now.Name] = now.ID
	if now.Labels[labelSlot] != "" {
		w.slotIDs[now.ID] = true
	}
	if now.Labels[labelSlot] == slotSpare {
		w.spareIDs[now.ID] = true
	}
	if now.Sandbox != nil && now.Sandbox.Network != "" {
		if w.onNetwork[now.Sandbox.Network] == nil {
			w.onNetwork[now.Sandbox.Network] = map[string]bool{}
		}
		w.onNetwork[now.Sandbox.Network][now.ID] = true
	}
}

// Driver returns a driver on this world. Each one has prepared nothing yet, as
// one in a process just started.
func (w *World) Driver() *Driver { return &Driver{w: w, prepared: map[string]bool{}} }

// Runtime returns a runtime on this world; it is a NetworkKeeper as well. Each one
// remembers the networks that it handed out, and no others, as one in a process just started.
func (w *World) Runtime() *Runtime { return &Runtime{w: w, handedOut: map[string]int{}} }

// tx runs do alone, on the newest state of the folder when there is one.
func (w *World) tx(do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	stale, err := w.disk.lock()
	if err != nil {
		return err
	}
	defer w.disk.unlock()
	if stale {
		for _, load := range []func() error{w.resources.load, w.work.load, w.faults.load, w.switches.load} {
			if err := load(); err != nil {
				return err
			}
		}
	}
	before := w.disk.generation
	err = do()
	if (stale || w.disk.generation != before) && w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
	return err
}

// await returns when cond, which runs in a transaction, is true, or ctx ends.
func (w *World) await(ctx context.Context, cond func() (bool, error)) error {
	for {
		var done bool
		var changed chan struct{}
		err := w.tx(func() (err error) {
			if done, err = cond(); err != nil || done {
				return err
			}
			// Asked for within the transaction, so that no change falls in between.
			if w.changed == nil {
				w.changed = make(chan struct{})
			}
			changed = w.changed
			return nil
		})
		if err != nil || done {
			return err
		}
		if err := w.pause(ctx, changed); err != nil {
			return err
		}
	}
}

// resourceID makes an id as long as a provider's; unique, since every write raises the generation.
func (w *World) resourceID(kind, name string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", kind, name, w.disk.generation))
	return w.like.idPrefix + hex.EncodeToString(sum[:])
}

// add makes a resource; Conflict when the name is taken. Within tx.
func (w *World) add(op string, r *resource) error {
	if id, taken := w.byName[r.Kind+"/"+r.Name]; taken {
		return provisioner.Errorf(provisioner.Conflict, op, "the %s name %q is already in use by %s", r.Kind, r.Name, id[:12])
	}
	r.ID = w.resourceID(r.Kind, r.Name)
	r.CreatedAt = w.now().UTC()
	if r.Sandbox != nil {
		if err := w.noteLife(Life{ID: r.ID, Environment: r.Labels[provisioner.LabelEnvironment], From: r.CreatedAt}); err != nil {
			return err
		}
	}
	return w.resources.put(r.ID, r)
}

// container returns a sandbox's resource; NotFound when it is gone. Within tx.
func (w *World) container(op, id string) (*resource, error) {
	r, ok := w.resources.rows[id]
	if !ok || r.Sandbox == nil {
		return nil, provisioner.Errorf(provisioner.NotFound, op, "no such sandbox: %q", id)
	}
	return r, nil
}

// SetAvailable switches the provider off and on: while off, every call gives
// Transient and Unavailable. Shared between processes on one folder.
func (w *World) SetAvailable(on bool) error {
	return w.tx(func() error {
		if on {
			return w.switches.drop("away")
		}
		return w.switches.put("away", true)
	})
}

// FreezeInventory makes List answer as of now until Thaw, as a lagging provider does.
func (w *World) FreezeInventory(instance string) error {
	return w.tx(func() error {
		w.frozen, w.isFrozen = w.find(w.shown(), instance), true
		return nil
	})
}

// ThawInventory ends FreezeInventory.
func (w *World) ThawInventory() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen, w.isFrozen = nil, false
}

// Place puts a resource there that nobody here asked for: a foreign one, or an orphan.
func (w *World) Place(kind, name string, labels map[string]string) (provisioner.Found, error) {
	r := &resource{Kind: kind, Name: name, Labels: maps.Clone(labels)}
	if kind == w.like.sandbox {
		r.Sandbox = w.newSandbox("", "")
	}
	err := w.tx(func() error { return w.add("place resource", r) })
	return w.found(r), err
}

// Stop ends a sandbox from outside, as when its main process exits by itself.
func (w *World) Stop(id string, exitCode int, cause string) error {
	return w.tx(func() error {
		r, err := w.container("stop sandbox", id)
		if err != nil {
			return err
		}
		r.Sandbox.end(w.now().UTC(), exitCode, cause)
		w.tell(w.found(r))
		return w.resources.put(id, r)
	})
}

// Say makes a sandbox's own main process print one line.
func (w *World) Say(id, line string, stderr bool) error {
	return w.tx(func() error {
		r, err := w.container("write log", id)
		if err != nil {
			return err
		}
		r.Sandbox.Logs = append(r.Sandbox.Logs, provisioner.LogLine{At: w.now().UTC(), Stderr: stderr, Text: line})
		return w.resources.put(id, r)
	})
}

// Forget drops the driver's working files on an environment, as a lost disk does.
func (w *World) Forget(environment string) error {
	return w.tx(func() error { return w.work.drop(environment) })
}

// Remembers reports whether the driver has working files on an environment.
func (w *World) Remembers(environment string) (bool, error) {
	var found bool
	err := w.tx(func() error { _, found = w.work.rows[environment]; return nil })
	return found, err
}

// All lists everything that exists, sorted by kind and name: the oracle's view,
// which no fault, switch or freeze touches.
func (w *World) All() ([]provisioner.Found, error) {
	var all []provisioner.Found
	err := w.tx(func() error {
		for _, r := range w.resources.rows {
			all = append(all, w.found(r))
		}
		return nil
	})
	sortFound(all)
	return all, err
}

// Calls counts the calls of an operation that this process has made.
func (w *World) Calls(op Op) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[op]
}

// Processes lists the commands that run in a sandbox by this process's Exec.
func (w *World) Processes(id string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Values(w.processes[id]))
}

// Breaches lists what no correct caller does, in sentences: two sandboxes on one network.
func (w *World) Breaches() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.breaches)
}

func (w *World) newSandbox(image, network string) *sandbox {
	return &sandbox{
		Image: image, Network: network,
		Status: provisioner.Status{Running: true, StartedAt: w.now().UTC()},
	}
}

// found is a resource as a list shows it.
func (w *World) found(r *resource) provisioner.Found {
	f := provisioner.Found{
		Ref: provisioner.Ref{Kind: r.Kind, ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt}, Labels: maps.Clone(r.Labels),
	}
	if r.Sandbox != nil {
		f.Attachment, f.State = attachment(r.Sandbox.Network), stateOf(r.Sandbox.Status)
	}
	if r.Kind == kindNetwork && r.Labels[labelSlot] != "" {
		f.Attachment = attachment(r.Name)
	}
	return f
}

func sortFound(all []provisioner.Found) {
	slices.SortFunc(all, func(a, b provisioner.Found) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
}
