package docker

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
)

var (
	_ provisioner.Watcher   = (*Runtime)(nil)
	_ provisioner.Restarter = (*Runtime)(nil)
)

// watched are the events that change what a container is doing, with what it does from then on.
var watched = map[events.Action]provisioner.State{
	events.ActionStart: provisioner.StateRunning, events.ActionUnPause: provisioner.StateRunning,
	events.ActionPause: provisioner.StatePaused, events.ActionDie: provisioner.StateEnded,
	events.ActionOOM: provisioner.StateRunning,
}

// gap is how far back the engine is asked for events when a watch begins.
const gap = 5 * time.Second

// Watch passes the engine's events on.
func (r *Runtime) Watch(ctx context.Context, instance string, begun func(), happened func(provisioner.Found)) error {
	const op = "watch containers"
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ours := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", provisioner.LabelInstance+"="+instance))
	for action := range watched {
		ours.Add("event", string(action))
	}
	// The engine answers a moment before it listens: what it told of late closes that gap, and is told twice at most.
	since := strconv.FormatInt(time.Now().Add(-gap).Unix(), 10)
	messages, errs := r.api.Events(ctx, events.ListOptions{Filters: ours, Since: since})
	select {
	case err := <-errs:
		return r.fail(ctx, op, err)
	default:
	}
	begun()
	for {
		select {
		case err := <-errs:
			return r.fail(ctx, op, err)
		case m := <-messages:
			// The engine tells labels and the name in one map.
			f := provisioner.Found{
				Ref:    provisioner.Ref{Kind: kindContainer, ID: m.Actor.ID, Name: m.Actor.Attributes["name"]},
				Labels: m.Actor.Attributes, State: watched[m.Action], OutOfMemory: m.Action == events.ActionOOM,
			}
			if f.Labels[LabelSlot] != "" {
				f.Attachment = attachmentTo(f.Name)
			}
			happened(f)
		}
	}
}

// Restart starts a sandbox anew, its network's holder first: a namespace ends with the container that made it.
func (r *Runtime) Restart(ctx context.Context, id string) error {
	const op = "restart sandbox"
	c, err := r.inspected(ctx, op, id)
	if err != nil {
		return err
	}
	if !r.owns(c.Config.Labels) {
		return foreign(op, kindContainer, id)
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	if holder, ok := holderOf(c); ok {
		if err := r.api.ContainerStart(cctx, holder, container.StartOptions{}); err != nil { // one that runs is no error
			return r.fail(ctx, op, err)
		}
	}
	if c.State.Running {
		at := 0 // what runs inside has no network, or is to end anyway
		return r.fail(ctx, op, r.api.ContainerRestart(cctx, id, container.StopOptions{Timeout: &at}))
	}
	return r.fail(ctx, op, r.api.ContainerStart(cctx, id, container.StartOptions{}))
}

// OffNetwork compares a sandbox with its network's holder: one that ended, or was started after the sandbox, has another
// namespace than the sandbox, whose own has no network any more.
func (r *Runtime) OffNetwork(ctx context.Context, id string) (bool, error) {
	const op = "look at network"
	c, err := r.inspected(ctx, op, id)
	if err != nil {
		return false, err
	}
	name, ok := holderOf(c)
	if !ok || !c.State.Running {
		return false, nil
	}
	holder, err := r.inspected(ctx, op, name)
	if provisioner.Is(err, provisioner.NotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !holder.State.Running || moment(holder.State.StartedAt).After(moment(c.State.StartedAt)), nil
}

// holderOf gives the container whose network namespace a container is in.
func holderOf(c container.InspectResponse) (id string, ok bool) {
	return strings.CutPrefix(string(c.HostConfig.NetworkMode), joinPrefix)
}

// inspected gives all that the engine tells of a container.
func (r *Runtime) inspected(ctx context.Context, op, id string) (container.InspectResponse, error) {
	cctx, cancel := r.call(ctx)
	defer cancel()
	c, err := r.api.ContainerInspect(cctx, id)
	if err == nil && (c.ContainerJSONBase == nil || c.State == nil || c.Config == nil || c.HostConfig == nil) {
		err = provisioner.Errorf(provisioner.Transient, op, "the engine's answer is not complete")
	}
	return c, r.fail(ctx, op, err)
}
