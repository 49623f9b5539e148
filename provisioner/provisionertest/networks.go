package provisionertest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var networkObligations = []obligation{
	{"declared or absent", testNetworksDeclared},
	{"reserved networks differ and are ours", keeping(testReserve)},
	{"release is idempotent", keeping(testRelease)},
	{"reconcile after a restart removes what no one holds", keeping(testReconcile)},
	{"reconcile spares what was handed out a moment ago", keeping(testReconcileSpares)},
	{"reconcile spares what another process handed out a moment ago", keeping(testReconcileSparesOthers)},
	{"close leaves what is in use", keeping(testClose)},
}

func testNetworksDeclared(t *testing.T, h Harness) {
	if _, is := provisioner.Can[provisioner.NetworkKeeper](h.Runtime); is != h.Capabilities.Networks {
		t.Errorf("the runtime is a NetworkKeeper: %v; declared: %v", is, h.Capabilities.Networks)
	}
}

// keeper is a NetworkKeeper with its harness.
type keeper struct {
	Harness
	provisioner.NetworkKeeper
}

func keeping(test func(t *testing.T, k keeper)) func(t *testing.T, h Harness) {
	return func(t *testing.T, h Harness) {
		if !h.Capabilities.Networks {
			t.Log("networks are declared absent; the first subtest has tested that they are")
			return
		}
		test(t, keeper{h, h.Runtime.(provisioner.NetworkKeeper)})
	}
}

func (k keeper) reserve(t *testing.T) provisioner.Attachment {
	t.Helper()
	owner := k.NewSpec(t).Owner
	name, err := k.Reserve(within(t), owner)
	if err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience) // the test's own has ended
		defer stop()
		if err := k.Release(ctx, name); err != nil {
			t.Errorf("clean up: Release: %v", err)
		}
	})
	return name
}

// network finds a network by what was reserved of it.
func (k keeper) network(t *testing.T, at provisioner.Attachment) (provisioner.Found, bool) {
	t.Helper()
	all := k.mustList(t, provisioner.Selector{})
	i := slices.IndexFunc(all, func(f provisioner.Found) bool { return f.Attachment == at && !f.Runs() && f.Environment() == "" })
	if i < 0 {
		return provisioner.Found{}, false
	}
	return all[i], true
}

func testReserve(t *testing.T, k keeper) {
	ctx := within(t)
	names := make([]provisioner.Attachment, 4)
	var group sync.WaitGroup
	for i := range names {
		owner := k.NewSpec(t).Owner
		group.Go(func() {
			name, err := k.Reserve(ctx, owner)
			if err != nil {
				t.Errorf("Reserve, at once with others: %v", err)
			}
			names[i] = name
		})
	}
	group.Wait()
	for _, name := range names {
		f, there := k.network(t, name)
		if !there || !k.Key.Verify(f.Labels) {
			t.Errorf("network %q: there %v, labels %v; want it there, with labels that verify", name, there, f.Labels)
		}
		if err := k.Release(ctx, name); err != nil {
			t.Errorf("Release: %v", err)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != 4 {
		t.Errorf("one network was given out twice: %q", names)
	}
}

func testRelease(t *testing.T, k keeper) {
	name := k.reserve(t)
	before, _ := k.network(t, name)
	for range 2 {
		if err := k.Release(within(t), name); err != nil {
			t.Errorf("Release: %v", err)
		}
	}
	if after, there := k.network(t, name); there && after.ID == before.ID {
		t.Errorf("network %s was given back and is still the used one", name)
	}
	if err := k.Release(within(t), "bothy-no-such-network"); err != nil {
		t.Errorf("Release of a network that never was: %v", err)
	}
}

// testReconcile: after a restart, what live environments hold stays and what no one holds goes.
func testReconcile(t *testing.T, k keeper) {
	held, dropped := k.reserve(t), k.reserve(t)
	used, _ := k.network(t, dropped)
	kept, _ := k.network(t, held)
	fresh, ok := k.Restart(t).(provisioner.NetworkKeeper)
	if !ok {
		t.Fatal("the restarted runtime is no NetworkKeeper")
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience) // the test's own has ended
		defer stop()
		if err := fresh.Close(ctx); err != nil {
			t.Errorf("clean up: Close: %v", err)
		}
	})
	for range 2 {
		if err := fresh.Reconcile(within(t), []provisioner.Attachment{held}); err != nil {
			t.Fatalf("Reconcile: %v", err)
		}
	}
	if now, there := k.network(t, held); !there || now.ID != kept.ID {
		t.Errorf("the held network %s: there %v, %s before and %s now", held, there, kept.ID, now.ID)
	}
	if now, there := k.network(t, dropped); there && now.ID == used.ID {
		t.Errorf("network %s, which no one holds, is still there", dropped)
	}
}

// testReconcileSpares: between Reserve and the record of its name no live
// environment holds a network; a Reconcile at that moment must not take it.
func testReconcileSpares(t *testing.T, k keeper) {
	name := k.reserve(t)
	before, _ := k.network(t, name)
	if err := k.Reconcile(within(t), nil); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	if now, there := k.network(t, name); !there || now.ID != before.ID {
		t.Errorf("network %s was handed out a moment ago and is gone", name)
	}
}

// testReconcileSparesOthers: what another process has just handed out is spared as well.
func testReconcileSparesOthers(t *testing.T, k keeper) {
	name := k.reserve(t)
	before, _ := k.network(t, name)
	other, ok := k.Restart(t).(provisioner.NetworkKeeper)
	if !ok {
		t.Fatal("the restarted runtime is no NetworkKeeper")
	}
	if err := other.Reconcile(within(t), nil); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	if now, there := k.network(t, name); !there || now.ID != before.ID {
		t.Errorf("network %s was handed out by another process a moment ago and is gone", name)
	}
	if err := other.Reconcile(within(t), []provisioner.Attachment{name}); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	if err := other.Close(within(t)); err != nil {
		t.Errorf("clean up: Close: %v", err)
	}
}

func testClose(t *testing.T, k keeper) {
	held := k.reserve(t)
	if err := k.Close(within(t)); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if _, there := k.network(t, held); !there {
		t.Errorf("Close removed network %s, which is in use", held)
	}
}
