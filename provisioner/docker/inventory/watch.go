package inventory

import (
	"context"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

var _ provisioner.Watcher = (*Inventory)(nil)

// watched are the events that change what a container is doing, with what it does from then on.
var watched = map[events.Action]provisioner.State{
	events.ActionStart: provisioner.StateRunning, events.ActionUnPause: provisioner.StateRunning,
	events.ActionPause: provisioner.StatePaused, events.ActionDie: provisioner.StateEnded,
	events.ActionOOM: provisioner.StateRunning,
}

// gap is how far back the engine is asked for events when a watch begins.
const gap = 5 * time.Second

// Watch passes the engine's events on.
func (i *Inventory) Watch(ctx context.Context, instance string, begun func(), happened func(provisioner.Found)) error {
	const op = "watch containers"
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ours := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", provisioner.LabelInstance+"="+instance))
	for action := range watched {
		ours.Add("event", string(action))
	}
	// The engine answers a moment before it listens: asking for its latest events closes that gap; at most they arrive twice.
	since := strconv.FormatInt(time.Now().Add(-gap).Unix(), 10)
	messages, errs := i.engine.API.Events(ctx, events.ListOptions{Filters: ours, Since: since})
	select {
	case err := <-errs:
		return i.engine.Fail(ctx, op, err)
	default:
	}
	begun()
	for {
		select {
		case err := <-errs:
			return i.engine.Fail(ctx, op, err)
		case m := <-messages:
			// The engine tells labels and the name in one map.
			f := provisioner.Found{
				Ref:    provisioner.Ref{Kind: engine.KindContainer, ID: m.Actor.ID, Name: m.Actor.Attributes["name"]},
				Labels: m.Actor.Attributes, State: watched[m.Action], OutOfMemory: m.Action == events.ActionOOM,
			}
			if f.Labels[sandbox.LabelSlot] != "" {
				f.Attachment = sandbox.AttachmentTo(f.Name)
			}
			happened(f)
		}
	}
}
