package api_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// TestExecTellsWhyItEnded: each cause that the engine knows reaches the client, with what belongs to it.
func TestExecTellsWhyItEnded(t *testing.T) {
	for _, cause := range fleet.EndCauses() {
		d := newDouble()
		d.ends = &fleet.ExecEnd{Code: 137, Cause: cause, By: "bob", Killed: 2, Size: fleet.Size{Name: "small", MemoryMiB: 1024, Pids: 512}, Larger: "medium"}
		var got *wire.ExecResult
		code, err := start(t, d).client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"true"}},
			client.ExecStreams{Ended: func(r wire.ExecResult) { got = &r }})
		if err != nil || code != 137 || got == nil {
			t.Fatalf("%s: %d, %v, %v", cause, code, err, got)
		}
		want := &wire.ExecEnded{Cause: string(cause), By: "bob", Processes: 2, Size: "small", MemoryMiB: 1024, Pids: 512, Larger: "medium"}
		if diff := cmp.Diff(want, got.Ended); diff != "" {
			t.Errorf("%s (-want +got):\n%s", cause, diff)
		}
	}
}

// TestExecStop: a client that asks for the command's end is told whether that was done.
func TestExecStop(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		mayRun bool
	}{
		"ended":       {&provisioner.Error{Class: provisioner.Cancelled, Sentence: "cancelled"}, false},
		"it may last": {&provisioner.Error{Class: provisioner.Cancelled, Sentence: "cancelled", Err: errors.Join(context.Canceled, provisioner.ErrStillRuns)}, true},
	} {
		d := newDouble()
		d.exec = func(ctx context.Context, _ provisioner.ExecRequest, _ provisioner.Streams) (int, error) {
			<-ctx.Done()
			return 0, c.err
		}
		stop := make(chan struct{})
		close(stop)
		var got *wire.ExecResult
		_, err := start(t, d).client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"true"}},
			client.ExecStreams{Stop: stop, Ended: func(r wire.ExecResult) { got = &r }})
		if client.CodeOf(err) != wire.CodeConflict || got == nil || got.MayRun != c.mayRun {
			t.Errorf("%s: %v, %+v; want that it may run: %v", name, err, got, c.mayRun)
		}
	}
}
