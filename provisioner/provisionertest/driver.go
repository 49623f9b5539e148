package provisionertest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var driverObligations = []obligation{
	{"ready", testReady},
	{"prepare is idempotent and safe at once", testPrepare},
	{"a wrong blueprint is permanent", testBadBlueprint},
	{"images resolve", testResolveImage},
	{"a life", testLife},
	{"a second attempt", testSecondAttempt},
	{"several at once do not see each other", testSeveral},
}

func testReady(t *testing.T, h Harness) {
	if err := h.Driver.Ready(within(t)); err != nil {
		t.Errorf("Driver.Ready: %v", err)
	}
	if err := h.Runtime.Ready(within(t)); err != nil {
		t.Errorf("Runtime.Ready: %v", err)
	}
}

func testPrepare(t *testing.T, h Harness) {
	bp := h.NewSpec(t).Blueprint
	ctx := within(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := h.Driver.Prepare(ctx, bp); err != nil {
				t.Errorf("Prepare, at once with others: %v", err)
			}
		})
	}
	group.Wait()
	if err := h.Driver.Prepare(ctx, bp); err != nil {
		t.Errorf("Prepare, once more: %v", err)
	}
}

func testBadBlueprint(t *testing.T, h Harness) {
	bp := h.BadBlueprint(t)
	for range 2 { // a refusal must not be remembered as success
		err := h.Driver.Prepare(within(t), bp)
		wantClass(t, "Prepare of a wrong blueprint", err, provisioner.Permanent)
		if provisioner.Sentence(err) == "" {
			t.Error("the refusal says nothing")
		}
	}
}

func testResolveImage(t *testing.T, h Harness) {
	id, err := h.Runtime.ResolveImage(within(t), h.Image)
	if want := h.NewSpec(t).Sandbox.Image; err != nil || id != want {
		t.Errorf("ResolveImage(%q) = %q, %v; want %q", h.Image, id, err, want)
	}
	_, err = h.Runtime.ResolveImage(within(t), "bothy.invalid/no/such/image:none")
	wantClass(t, "ResolveImage of an unknown reference", err, provisioner.NotFound)
}

func testLife(t *testing.T, h Harness) {
	e := h.create(t)
	t.Run("create gives a running sandbox", func(t *testing.T) { e.wantRunning(t) })
	t.Run("the handle is complete", func(t *testing.T) {
		if e.handle.Sandbox.ID == "" || len(e.handle.State) == 0 || e.handle.Serial <= 0 || !slices.Contains(e.handle.Resources, e.handle.Sandbox) {
			t.Errorf("sandbox %+v, %d bytes of state, serial %d, resources %+v; want all of them, the sandbox among the resources",
				e.handle.Sandbox, len(e.handle.State), e.handle.Serial, e.handle.Resources)
		}
	})
	t.Run("names and labels are the owner's", func(t *testing.T) {
		all := e.wantOwned(t)
		var named []provisioner.Found
		for _, ref := range e.handle.Resources {
			named = append(named, provisioner.Found{Ref: ref})
		}
		wantRefs(t, "found, and named by the handle", all, named)
		if !slices.ContainsFunc(all, func(f provisioner.Found) bool { return f.ID == e.handle.Sandbox.ID }) {
			t.Errorf("the sandbox %s is not among those found: %+v", e.handle.Sandbox.ID, all)
		}
	})
	t.Run("events count the resources", func(t *testing.T) {
		if created, gone := e.seen.counts(t); created != len(e.handle.Resources) || gone != 0 {
			t.Errorf("%d created and %d gone were told, want %d and 0", created, gone, len(e.handle.Resources))
		}
	})
	t.Run("another instance's inventory does not show it", func(t *testing.T) {
		all, err := h.list(within(t), provisioner.Selector{Instance: h.Instance + "x"})
		if err != nil || len(all) != 0 {
			t.Errorf("List of another instance: %+v, %v; want nothing", all, err)
		}
	})
	var seen *recorder
	t.Run("destroy removes all", func(t *testing.T) {
		seen = e.destroy(t, e.handle.State)
		e.wantNothing(t)
	})
	t.Run("events count what went", func(t *testing.T) {
		if created, gone := seen.counts(t); created != 0 || gone != len(e.handle.Resources) {
			t.Errorf("%d created and %d gone were told, want 0 and %d", created, gone, len(e.handle.Resources))
		}
	})
	t.Run("inspect afterwards is not found", func(t *testing.T) {
		_, err := h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
		wantClass(t, "Inspect of what is gone", err, provisioner.NotFound)
	})
	t.Run("destroying again is success", func(t *testing.T) {
		e.destroy(t, e.handle.State)
		e.destroy(t, nil)
		e.wantNothing(t)
	})
}

func testSecondAttempt(t *testing.T, h Harness) {
	e := h.create(t)
	first := e.handle
	e.destroy(t, first.State)
	e.again()
	if err := e.try(within(t)); err != nil {
		t.Fatalf("Create anew after Destroy: %v", err)
	}
	t.Run("serials never go back", func(t *testing.T) {
		if e.handle.Serial <= first.Serial {
			t.Errorf("serial %d after %d of the first attempt", e.handle.Serial, first.Serial)
		}
	})
	t.Run("it is another sandbox, labelled as this attempt's", func(t *testing.T) {
		if e.handle.Sandbox.ID == first.Sandbox.ID {
			t.Errorf("the second attempt gave the first's sandbox %s", first.Sandbox.ID)
		}
		e.wantOwned(t)
		e.wantRunning(t)
	})
	t.Run("destroy with a stale state goes by the working files", func(t *testing.T) {
		e.destroy(t, first.State)
		e.wantNothing(t)
	})
}

func testSeveral(t *testing.T, h Harness) {
	all := make([]*environment, 3)
	for i := range all {
		all[i] = h.planned(t)
	}
	ctx := within(t)
	var group sync.WaitGroup
	for _, e := range all {
		group.Go(func() {
			if err := e.try(ctx); err != nil {
				t.Errorf("Create, at once with others: %v", err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	a, b := all[0], all[1]
	t.Run("they are different sandboxes", func(t *testing.T) {
		if a.handle.Sandbox.ID == b.handle.Sandbox.ID || b.handle.Sandbox.ID == all[2].handle.Sandbox.ID {
			t.Errorf("sandboxes %s, %s, %s", a.handle.Sandbox.ID, b.handle.Sandbox.ID, all[2].handle.Sandbox.ID)
		}
		for _, e := range all {
			e.wantRunning(t)
			e.wantOwned(t)
		}
	})
	t.Run("files of one are not in the other", func(t *testing.T) {
		file := h.Workspace + "/only-here"
		a.wantExec(t, 0, "touch", file)
		a.wantExec(t, 0, "test", "-e", file)
		b.wantExec(t, 1, "test", "-e", file)
	})
	t.Run("destroying one leaves the other", func(t *testing.T) {
		a.destroy(t, a.handle.State)
		a.wantNothing(t)
		b.wantRunning(t)
	})
	t.Run("removing by label leaves the other", func(t *testing.T) {
		all[2].sweep(t)
		b.wantRunning(t)
		if got := b.output(t, "echo", "still here"); strings.TrimSpace(got) != "still here" {
			t.Errorf("echo said %q", got)
		}
	})
}
