package fake

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Driver makes environments in a World, of the kinds of its personality.
type Driver struct {
	w        *World
	mu       sync.Mutex
	prepared map[string]bool
}

var (
	_ provisioner.Driver  = (*Driver)(nil)
	_ provisioner.Settler = (*Driver)(nil)
)

// record is what a create writes down: the state in its handle, and the driver's own working file.
type record struct {
	Environment string
	Serial      int64
	Resources   []made
}

type made struct {
	Kind, ID, Name string
	CreatedAt      time.Time
}

func (m made) ref() provisioner.Ref {
	return provisioner.Ref{Kind: m.Kind, ID: m.ID, Name: m.Name, CreatedAt: m.CreatedAt}
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Ready reports whether the provider is switched on.
func (d *Driver) Ready(ctx context.Context) error { return d.w.simple(ctx, OpDriverReady, "", nil) }

// Prepare notes the digest. One that is not a digest, or a Dir that is given but is no folder, is Permanent.
func (d *Driver) Prepare(ctx context.Context, bp provisioner.Blueprint) error {
	return d.w.simple(ctx, OpPrepare, "", func() error {
		const op = "prepare blueprint"
		if !digestForm.MatchString(bp.Digest) {
			return provisioner.Errorf(provisioner.Permanent, op, "%q is not a digest", bp.Digest)
		}
		if bp.Dir != "" {
			if info, err := os.Stat(bp.Dir); err != nil {
				return provisioner.Errorf(provisioner.Permanent, op, "open the blueprint's folder: %w", err)
			} else if !info.IsDir() {
				return provisioner.Errorf(provisioner.Permanent, op, "%s is not a folder", bp.Dir)
			}
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.prepared[bp.Digest] = true
		return nil
	})
}

// simple is the frame of a call that does one thing: faults before and after, do in a transaction.
func (w *World) simple(ctx context.Context, op Op, environment string, do func() error) error {
	if err := w.begin(ctx, op); err != nil {
		return err
	}
	if err := w.reach(ctx, op, environment, Before, nil); err != nil {
		return err
	}
	if do != nil {
		if err := w.tx(do); err != nil {
			return err
		}
	}
	return w.reach(ctx, op, environment, After, nil)
}

// Create makes everything of an environment. It wants a prepared blueprint, an image and a network that exist.
func (d *Driver) Create(ctx context.Context, spec provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, error) {
	c := &creation{w: d.w, spec: spec, observe: observe, record: &record{Environment: spec.Owner.Environment}}
	err := c.run(ctx, d)
	return c.handle(), err
}

// Settled forgets the driver's own working file.
func (d *Driver) Settled(_ context.Context, spec provisioner.Spec) error {
	return d.w.Forget(spec.Owner.Environment)
}

// creation is one create under way.
type creation struct {
	w       *World
	spec    provisioner.Spec
	observe provisioner.Observer
	record  *record
	forget  bool
	corrupt bool
}

func (c *creation) run(ctx context.Context, d *Driver) error {
	env := c.spec.Owner.Environment
	if err := c.w.begin(ctx, OpCreate); err != nil {
		return err
	}
	if err := c.w.reach(ctx, OpCreate, env, Before, nil); err != nil {
		return err
	}
	if err := c.check(d); err != nil {
		return err
	}
	c.tell("plan", fmt.Sprintf("to create: %d", len(c.w.like.made)), false)
	err := c.w.reach(ctx, OpCreate, env, Half, func(f Fault) error {
		c.forget = f.Forget
		for _, kind := range f.Leave {
			if err := c.make(kind); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, kind := range c.w.like.made {
		if slices.ContainsFunc(c.record.Resources, func(m made) bool { return m.Kind == kind }) {
			continue
		}
		c.tell("create", "creating the "+kind, false)
		if err := ctx.Err(); err != nil {
			return cancelled(OpCreate, err)
		}
		if err := c.make(kind); err != nil {
			return err
		}
	}
	err = c.w.reach(ctx, OpCreate, env, After, func(f Fault) error {
		c.forget, c.corrupt = f.Forget, f.Corrupt
		if f.Forget {
			if err := c.w.Forget(env); err != nil {
				return err
			}
		}
		if f.Exit == nil {
			return nil
		}
		return c.w.Stop(c.sandbox().ID, *f.Exit, "")
	})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return cancelled(OpCreate, err)
	}
	return nil
}

// check refuses what a real provider would refuse.
func (c *creation) check(d *Driver) error {
	const op = "create environment"
	owner, box := c.spec.Owner, c.spec.Sandbox
	d.mu.Lock()
	prepared := d.prepared[c.spec.Blueprint.Digest]
	d.mu.Unlock()
	if !prepared {
		return provisioner.Errorf(provisioner.Permanent, op, "blueprint %s was not prepared by this driver", c.spec.Blueprint.Digest)
	}
	if owner.Instance == "" || owner.Environment == "" {
		return provisioner.Errorf(provisioner.Permanent, op, "the owner names no instance or no environment")
	}
	if c.spec.Labels[provisioner.LabelEnvironment] != owner.Environment || c.spec.Labels[provisioner.LabelMAC] == "" {
		return provisioner.Errorf(provisioner.Permanent, op, "the labels are not the owner's")
	}
	return c.w.tx(func() error {
		if !c.w.knownImage(box.Image) {
			return provisioner.Errorf(provisioner.Permanent, op, "no such image: %q", box.Image)
		}
		if box.Network == "" {
			return nil
		}
		network := networkOf(box.Network)
		if _, ok := c.w.byName[kindNetwork+"/"+network]; !ok {
			return provisioner.Errorf(provisioner.Permanent, op, "network %s not found", network)
		}
		for id := range c.w.onNetwork[network] {
			if other := c.w.resources.rows[id].Labels[provisioner.LabelEnvironment]; other != owner.Environment {
				c.w.breaches = append(c.w.breaches, fmt.Sprintf("environments %s and %s share network %s", other, owner.Environment, network))
			}
		}
		return nil
	})
}

// make creates one resource and writes it down.
func (c *creation) make(kind string) error {
	r := &resource{Kind: kind, Name: c.spec.Owner.ResourceName(), Labels: maps.Clone(c.spec.Labels)}
	if kind == c.w.like.sandbox {
		r.Sandbox = c.w.newSandbox(c.spec.Sandbox.Image, networkOf(c.spec.Sandbox.Network))
	}
	err := c.w.tx(func() error {
		if err := c.w.add("create "+kind, r); err != nil {
			return err
		}
		if c.forget {
			return nil
		}
		// Serials of later attempts are higher, though their working files begin anew.
		c.record.Serial = max(c.record.Serial, c.spec.Owner.Generation<<32) + 1
		c.record.Resources = append(c.record.Resources, made{r.Kind, r.ID, r.Name, r.CreatedAt})
		return c.w.work.put(c.record.Environment, c.record)
	})
	if err != nil {
		return err
	}
	c.tell("create", "created the "+kind+" "+r.Name, true)
	return nil
}

func (c *creation) tell(phase, message string, created bool) {
	if c.observe != nil {
		c.observe(provisioner.Event{At: c.w.now().UTC(), Phase: phase, Message: message, ResourceCreated: created})
	}
}

func (c *creation) sandbox() provisioner.Ref {
	for _, m := range c.record.Resources {
		if m.Kind == c.w.like.sandbox {
			return m.ref()
		}
	}
	return provisioner.Ref{}
}

func (c *creation) handle() provisioner.Handle {
	if c.forget || len(c.record.Resources) == 0 {
		return provisioner.Handle{}
	}
	state, err := json.Marshal(c.record)
	if err != nil {
		panic("fake: a record that is not JSON: " + err.Error()) // strings and integers only
	}
	if c.corrupt {
		state = state[:len(state)/2]
	}
	h := provisioner.Handle{Sandbox: c.sandbox(), State: state, Serial: c.record.Serial}
	for _, m := range c.record.Resources {
		h.Resources = append(h.Resources, m.ref())
	}
	return h
}

// Destroy removes what the state and the working file know of, and then the working file.
func (d *Driver) Destroy(ctx context.Context, spec provisioner.Spec, state []byte, observe provisioner.Observer) error {
	w, env := d.w, spec.Owner.Environment
	if observe == nil {
		observe = func(provisioner.Event) {}
	}
	if err := w.begin(ctx, OpDestroy); err != nil {
		return err
	}
	if err := w.reach(ctx, OpDestroy, env, Before, nil); err != nil {
		return err
	}
	known, err := w.known(env, state, observe)
	if err != nil {
		return err
	}
	for i, m := range known {
		if i == 1 {
			if err := w.reach(ctx, OpDestroy, env, Half, nil); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return cancelled(OpDestroy, err)
		}
		if err := w.tx(func() error { return w.remove(m.ID) }); err != nil {
			return err
		}
		observe(provisioner.Event{At: w.now().UTC(), Phase: "destroy", Message: "removed the " + m.Kind + " " + m.Name, ResourceGone: true})
	}
	if len(known) <= 1 {
		if err := w.reach(ctx, OpDestroy, env, Half, nil); err != nil {
			return err
		}
	}
	if err := w.Forget(env); err != nil {
		return err
	}
	return w.reach(ctx, OpDestroy, env, After, nil)
}

// known is what state and working file know together; a state that cannot be read is told of and ignored.
func (w *World) known(env string, state []byte, observe provisioner.Observer) ([]made, error) {
	var all []made
	if len(state) > 0 {
		var given record
		if err := json.Unmarshal(state, &given); err != nil || given.Environment != env {
			observe(provisioner.Event{
				At: w.now().UTC(), Phase: "destroy", Error: true,
				Message: "the stored state cannot be used; going by the working files",
			})
		} else {
			all = given.Resources
		}
	}
	err := w.tx(func() error {
		work, ok := w.work.rows[env]
		if !ok {
			return nil
		}
		for _, m := range work.Resources {
			if !slices.ContainsFunc(all, func(known made) bool { return known.ID == m.ID }) {
				all = append(all, m)
			}
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b made) int { return w.removalOrder(a.Kind, a.ID, b.Kind, b.ID) })
	return all, err
}
