package provisionertest

import (
	"context"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var failureObligations = []obligation{
	{"a leftover of the same name is a conflict", testLeftover},
	{"a state that cannot be read is ignored", testUnreadableState},
	{"nothing known, swept by label", testNothingKnown},
	{"an image that is not there", testBadImage},
	{"cancelled before the start", testCancelledBefore},
	{"cancelled in the middle", testCancelledMidway},
	{"a cancelled destroy is done again", testCancelledDestroy},
	{"removing what is gone is success", testRemoveTwice},
	{"what is of another environment is left alone", testRemoveAnothers},
	{"killed without the engine", testKill},
}

func testLeftover(t *testing.T, h Harness) {
	e := h.create(t)
	first := e.handle
	second := *e
	second.again()
	t.Run("known to the driver", func(t *testing.T) {
		wantClass(t, "Create over a leftover", second.try(within(t)), provisioner.Conflict)
		e.wantRunning(t)
	})
	t.Run("forgotten by the driver", func(t *testing.T) {
		h.Forget(t, e.spec.Owner.Environment)
		wantClass(t, "Create over a forgotten leftover", second.try(within(t)), provisioner.Conflict)
		e.wantRunning(t)
	})
	t.Run("destroyed by the first attempt's state", func(t *testing.T) {
		h.Forget(t, e.spec.Owner.Environment)
		e.destroy(t, first.State)
		e.wantNothing(t)
	})
}

func testUnreadableState(t *testing.T, h Harness) {
	e := h.create(t)
	e.destroy(t, e.handle.State[:len(e.handle.State)/2])
	e.wantNothing(t)
}

func testNothingKnown(t *testing.T, h Harness) {
	e := h.create(t)
	h.Forget(t, e.spec.Owner.Environment)
	e.destroy(t, nil)
	e.sweep(t)
	e.wantNothing(t)
	_, err := h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
	wantClass(t, "Inspect after the sweep", err, provisioner.NotFound)
	e.destroy(t, e.handle.State) // whose resources are gone
}

func testBadImage(t *testing.T, h Harness) {
	e := h.planned(t)
	e.spec.Sandbox.Image = "sha256:" + strings.Repeat("0", 64)
	err := e.try(within(t))
	wantClass(t, "Create from an image that is not there", err, provisioner.Permanent, provisioner.NotFound)
	if provisioner.Sentence(err) == "" {
		t.Error("the error says nothing")
	}
	e.destroy(t, e.handle.State)
	e.sweep(t)
}

func testCancelledBefore(t *testing.T, h Harness) {
	e := h.planned(t)
	ctx, stop := context.WithCancel(within(t))
	stop()
	wantClass(t, "Create with a context that has ended", e.try(ctx), provisioner.Cancelled)
	e.wantNothing(t)
}

func testCancelledMidway(t *testing.T, h Harness) {
	e := h.planned(t)
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	seen := &recorder{on: func(ev provisioner.Event) {
		if ev.Phase == "create" {
			stop()
		}
	}}
	err := e.tryWith(ctx, seen)
	if ctx.Err() == nil {
		t.Fatalf("no event of phase create was told, so nothing was cancelled (error: %v)", err)
	}
	wantClass(t, "Create, cancelled in the middle", err, provisioner.Cancelled)
	e.destroy(t, e.handle.State)
	e.sweep(t)
	e.wantNothing(t)
	e.again()
	if err := e.try(within(t)); err != nil {
		t.Fatalf("Create anew after the cancelled one: %v", err)
	}
	e.wantRunning(t)
}

func testCancelledDestroy(t *testing.T, h Harness) {
	e := h.create(t)
	ctx, stop := context.WithCancel(within(t))
	stop()
	err := h.Driver.Destroy(ctx, e.spec, e.handle.State, func(provisioner.Event) {})
	wantClass(t, "Destroy with a context that has ended", err, provisioner.Cancelled)
	e.destroy(t, e.handle.State)
	e.wantNothing(t)
}

func testRemoveTwice(t *testing.T, h Harness) {
	e := h.create(t)
	all := e.resources(t)
	if len(all) == 0 {
		t.Fatal("nothing to remove was found")
	}
	for range 2 {
		for _, f := range h.of(all, e.spec.Owner.Environment) {
			if err := h.Runtime.Remove(within(t), f.Ref, f.Environment()); err != nil {
				t.Errorf("Remove %s %s: %v", f.Kind, f.Name, err)
			}
		}
	}
	e.wantNothing(t)
	e.destroy(t, e.handle.State)
}

// testRemoveAnothers: what was found for one environment is not taken for another's, and the beginning of an id names nothing.
func testRemoveAnothers(t *testing.T, h Harness) {
	e := h.create(t)
	for _, f := range h.of(e.resources(t), e.spec.Owner.Environment) {
		wantClass(t, "Remove "+f.Kind+" for another environment", h.Runtime.Remove(within(t), f.Ref, "another"), provisioner.Conflict)
	}
	id := e.handle.Sandbox.ID
	for _, part := range []string{id[:len(id)-1], id[:len(id)/2], id[:2]} {
		_, err := h.Runtime.Inspect(within(t), part)
		wantClass(t, "Inspect by the beginning of an id", err, provisioner.NotFound)
		_, err = h.Runtime.Exec(within(t), part, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
		wantClass(t, "Exec by the beginning of an id", err, provisioner.NotFound)
	}
	e.wantRunning(t)
	e.destroy(t, e.handle.State)
}

func testKill(t *testing.T, h Harness) {
	killer, is := provisioner.Can[provisioner.Killer](h.Runtime)
	if can := is && killer.CanKill() == nil; can != h.kills() {
		t.Errorf("the runtime is a Killer with the means: %v; declared: %v", can, h.kills())
	}
	if !h.kills() {
		t.Log("killing is declared absent, and is")
		return
	}
	e := h.create(t)
	for _, f := range e.resources(t) {
		if f.ID != e.handle.Sandbox.ID {
			continue
		}
		n, err := killer.Kill(within(t), f.Ref, "another")
		if wantClass(t, "Kill for another environment", err, provisioner.Conflict); n != 0 {
			t.Errorf("Kill for another environment killed %d processes", n)
		}
		e.wantRunning(t)
		if n, err := killer.Kill(within(t), f.Ref, f.Environment()); err != nil || n == 0 {
			t.Fatalf("Kill: %d processes, %v", n, err)
		}
		eventually(t, "the sandbox has stopped", func() bool {
			status, err := h.Runtime.Inspect(within(t), f.ID)
			return err == nil && !status.Running
		})
		e.destroy(t, e.handle.State)
		_, err = killer.Kill(within(t), f.Ref, f.Environment())
		wantClass(t, "Kill of what is gone", err, provisioner.NotFound)
		return
	}
	t.Fatal("the sandbox is not in the inventory")
}
