// Package inventory lists, watches and removes what an installation has at the engine, and keeps marks there.
package inventory

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// removalOrder: networks and volumes are in use by containers.
var removalOrder = []string{engine.KindContainer, engine.KindNetwork, engine.KindVolume}

// Inventory is what an installation has at the engine. It is safe for use by many goroutines.
type Inventory struct {
	engine *engine.Client
	forget func(id string)
	// RemoveFor bounds the tries to remove one resource.
	RemoveFor time.Duration
}

// New returns an Inventory. It calls forget for each container that it has removed.
func New(e *engine.Client, forget func(id string)) *Inventory {
	return &Inventory{engine: e, forget: forget, RemoveFor: 45 * time.Second}
}

// RemovalOrder goes by the kind.
func (i *Inventory) RemovalOrder(a, b provisioner.Ref) int {
	rank := func(of provisioner.Ref) int { return slices.Index(removalOrder, of.Kind) }
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.ID, b.ID))
}

// List gives, on one page, every container, network and volume with the instance's
// label, and the environment's. A network with an empty environment label is a slot of the
// NetworkKeeper, which alone removes it.
func (i *Inventory) List(ctx context.Context, sel provisioner.Selector) (provisioner.Page, error) {
	if sel.Instance == "" {
		return provisioner.Page{}, provisioner.Errorf(provisioner.Permanent, opList, "no instance is given")
	}
	if sel.After != "" { // every list is one page
		return provisioner.Page{}, provisioner.Errorf(provisioner.Conflict, opList, "%w", provisioner.ErrListMoved)
	}
	cctx, cancel := i.engine.Call(ctx)
	defer cancel()
	ours := filters.NewArgs(filters.Arg("label", provisioner.LabelInstance+"="+sel.Instance))
	if sel.Environment != "" {
		ours.Add("label", provisioner.LabelEnvironment+"="+sel.Environment)
	}
	// Side by side: each waits for the engine alone, and the end of every environment waits for two such lists.
	kinds := []func(context.Context, filters.Args) ([]provisioner.Found, error){i.listContainers, i.listNetworks, i.listVolumes}
	lists, errs := make([][]provisioner.Found, len(kinds)), make([]error, len(kinds))
	var all sync.WaitGroup
	for i, list := range kinds {
		all.Go(func() { lists[i], errs[i] = list(cctx, ours) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return provisioner.Page{}, i.engine.Fail(ctx, opList, err)
		}
	}
	return provisioner.Page{Found: slices.Concat(lists...)}, nil
}

const opList = "list resources"

func (i *Inventory) listContainers(ctx context.Context, ours filters.Args) (found []provisioner.Found, err error) {
	cs, err := i.engine.API.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	names := map[string]string{}
	for _, c := range cs {
		if len(c.Names) > 0 {
			names[c.ID] = strings.TrimPrefix(c.Names[0], "/")
		}
	}
	for _, c := range cs {
		found = append(found, provisioner.Found{
			Ref:        provisioner.Ref{Kind: engine.KindContainer, ID: c.ID, Name: names[c.ID], CreatedAt: time.Unix(c.Created, 0).UTC()},
			Labels:     c.Labels,
			Attachment: attachmentOf(c, names),
			State:      stateOf(c.State),
		})
	}
	return found, err
}

// attachmentOf is what was reserved of the network that a listed container is on, or holds; "" where the list does not tell.
func attachmentOf(c container.Summary, names map[string]string) provisioner.Attachment {
	if c.Labels[sandbox.LabelSlot] != "" {
		return sandbox.AttachmentTo(names[c.ID])
	}
	if holder, joins := strings.CutPrefix(c.HostConfig.NetworkMode, sandbox.JoinPrefix); joins {
		if name, listed := names[holder]; listed {
			return sandbox.AttachmentTo(name)
		}
		if engine.IsID(holder) {
			return "" // not listed, as it is of no environment
		}
		return sandbox.AttachmentTo(holder)
	}
	if c.NetworkSettings != nil {
		for name := range c.NetworkSettings.Networks {
			return provisioner.Attachment(name) // a sandbox is on one
		}
	}
	return ""
}

func (i *Inventory) listNetworks(ctx context.Context, ours filters.Args) (found []provisioner.Found, err error) {
	ns, err := i.engine.API.NetworkList(ctx, network.ListOptions{Filters: ours})
	for _, n := range ns {
		f := provisioner.Found{Ref: provisioner.Ref{Kind: engine.KindNetwork, ID: n.ID, Name: n.Name, CreatedAt: n.Created.UTC()}, Labels: n.Labels}
		if n.Labels[sandbox.LabelSlot] != "" {
			f.Attachment = sandbox.AttachmentTo(n.Name)
		}
		found = append(found, f)
	}
	return found, err
}

func (i *Inventory) listVolumes(ctx context.Context, ours filters.Args) (found []provisioner.Found, err error) {
	vs, err := i.engine.API.VolumeList(ctx, volume.ListOptions{Filters: ours})
	if err != nil {
		return nil, err
	}
	if len(vs.Warnings) > 0 {
		// The engine leaves out what a volume driver did not tell: not complete.
		return nil, provisioner.Errorf(provisioner.Transient, opList, "the list of volumes is not complete: %s", vs.Warnings[0])
	}
	for _, v := range vs.Volumes {
		f := provisioner.Found{Ref: provisioner.Ref{Kind: engine.KindVolume, ID: v.Name, Name: v.Name}, Labels: v.Labels}
		if at, err := time.Parse(time.RFC3339, v.CreatedAt); err == nil {
			f.CreatedAt = at.UTC()
		}
		found = append(found, f)
	}
	return found, nil
}

// stateOf reads the state of a listed container. One that the engine restarts, or is about to remove, does not run.
func stateOf(listed string) provisioner.State {
	switch listed {
	case container.StateRunning:
		return provisioner.StateRunning
	case container.StatePaused:
		return provisioner.StatePaused
	case container.StateCreated:
		return provisioner.StateCreated
	}
	return provisioner.StateEnded
}

// Remove takes one resource away by force, within 45 s. It looks at the live resource's labels first
// and refuses, with class Conflict, what was not made by this installation or belongs to another environment. A container is named by its whole id. When the engine has not removed it after 10 s, as something inside keeps
// the engine waiting, it is killed from the host, where that can be done. One that is stuck gives class Transient.
func (i *Inventory) Remove(ctx context.Context, f provisioner.Ref, environment string) error {
	op := "remove " + f.Kind
	if f.ID == "" && f.Kind != engine.KindContainer {
		f.ID = f.Name
	}
	if f.ID == "" {
		return provisioner.Errorf(provisioner.Permanent, op, "neither an id nor a name is given")
	}
	if f.Kind == engine.KindContainer && !engine.IsID(f.ID) {
		return provisioner.Errorf(provisioner.Permanent, op, "%.80q is not the id of a container", f.ID)
	}
	rctx, cancel := context.WithTimeout(ctx, i.RemoveFor)
	defer cancel()
	try := func() error { return i.removeOften(ctx, rctx, op, f, environment) }
	if f.Kind != engine.KindContainer {
		return try()
	}
	err := i.killWhile(rctx, f, environment, try)
	if err == nil {
		i.forget(f.ID)
	}
	return err
}

// removeOften tries until rctx ends.
func (i *Inventory) removeOften(ctx, rctx context.Context, op string, f provisioner.Ref, environment string) error {
	wait := 50 * time.Millisecond
	for {
		err := i.removeOnce(rctx, f, environment, op)
		switch provisioner.ClassOf(err) {
		case "", provisioner.NotFound:
			return nil
		case provisioner.Permanent:
			return err
		case provisioner.Conflict, provisioner.Transient, provisioner.Quota:
			if provisioner.IsUnavailable(err) || engine.IsForeign(err) {
				return err
			}
		case provisioner.Cancelled:
			// Either the caller's end or ours; told apart below.
		}
		select {
		case <-rctx.Done():
			if ctx.Err() != nil {
				return i.engine.Fail(ctx, op, ctx.Err())
			}
			return provisioner.Errorf(provisioner.Transient, op, "%s %s is stuck: %w", f.Kind, f.ID, err)
		case <-time.After(wait):
		}
		wait = min(wait*2, 2*time.Second)
	}
}

// removeOnce looks whose a resource is and tries once.
func (i *Inventory) removeOnce(ctx context.Context, f provisioner.Ref, environment, op string) error {
	cctx, cancel := i.engine.Call(ctx)
	defer cancel()
	switch f.Kind {
	case engine.KindContainer:
		// Not by inspect, which waits for whatever keeps the engine busy with the container.
		if err := i.own(ctx, op, f, environment); err != nil {
			return err
		}
		return i.engine.Fail(ctx, op, i.engine.API.ContainerRemove(cctx, f.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	case engine.KindNetwork:
		n, err := i.engine.API.NetworkInspect(cctx, f.ID, network.InspectOptions{})
		if err != nil {
			return i.engine.Fail(ctx, op, err)
		}
		if err := i.isOf(op, f, environment, n.Labels); err != nil {
			return err
		}
		for member, end := range n.Containers {
			if strings.HasPrefix(member, "ep-") {
				member = end.Name // an endpoint whose container is gone goes by its name
			}
			if err := i.engine.API.NetworkDisconnect(cctx, n.ID, member, true); err != nil {
				i.engine.Log.Debug("disconnect from a network that is removed", "network", n.Name, "member", member, "error", err)
			}
		}
		return i.engine.RemoveNetwork(cctx, ctx, op, n.ID)
	case engine.KindVolume:
		v, err := i.engine.API.VolumeInspect(cctx, f.ID)
		if err != nil {
			return i.engine.Fail(ctx, op, err)
		}
		if err := i.isOf(op, f, environment, v.Labels); err != nil {
			return err
		}
		return i.engine.Fail(ctx, op, i.engine.API.VolumeRemove(cctx, f.ID, true))
	}
	return provisioner.Errorf(provisioner.Permanent, op, "resources of kind %q are not known", f.Kind)
}
