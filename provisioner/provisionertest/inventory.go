package provisionertest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var inventoryObligations = []obligation{
	{"capabilities are as declared", testDeclared},
	{"a selector of one environment", testSelector},
	{"pages are the whole list, each resource once", testPages},
	{"a page that nobody gave", testNoPage},
	{"in removal order nothing keeps another", testRemovalOrder},
	{"a sandbox is listed on its network", testAttachment},
}

// testDeclared: what a runtime declares is what its harness says, and it has the methods for that.
func testDeclared(t *testing.T, h Harness) {
	got := h.Runtime.Capabilities()
	if got != h.Capabilities {
		t.Errorf("it declares %+v, want %+v", got, h.Capabilities)
	}
	if got.SandboxKind == "" || got.ListLag < 0 || got.ListLag > patience/10 {
		t.Errorf("its sandboxes are of the kind %q, its lists late by %s", got.SandboxKind, got.ListLag)
	}
	for name, is := range map[string]struct{ can, declared bool }{
		"NetworkKeeper": {can[provisioner.NetworkKeeper](h), got.Networks}, "Stager": {can[provisioner.Stager](h), got.Stage},
		"Pauser": {can[provisioner.Pauser](h), got.Pause}, "Meter": {can[provisioner.Meter](h), got.Traffic},
		"Gauge": {can[provisioner.Gauge](h), got.Counters}, "Surveyor": {can[provisioner.Surveyor](h), got.Usage},
		"Pressured": {can[provisioner.Pressured](h), got.Pressure}, "Marker": {can[provisioner.Marker](h), got.Marks},
		"Killer": {can[provisioner.Killer](h), got.Kill}, "Restarter": {can[provisioner.Restarter](h), got.Restart},
		"Watcher": {can[provisioner.Watcher](h), got.Watch}, "Ports": {can[provisioner.Ports](h), got.Ports},
		"Limiter": {can[provisioner.Limiter](h), got.Pids}, "Keeper": {can[provisioner.Keeper](h), got.Files},
	} {
		if is.can != is.declared {
			t.Errorf("%s: declared %v, and it can: %v", name, is.declared, is.can)
		}
	}
}

func can[T any](h Harness) bool {
	_, ok := provisioner.Can[T](h.Runtime)
	return ok
}

// settle waits until lists show what was done before.
func (h Harness) settle(ctx context.Context) {
	if h.Capabilities.ListLag == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(h.Capabilities.ListLag + time.Millisecond): // the promise itself: no condition says that it is over
	}
}

// list returns a whole list of now.
func (h Harness) list(ctx context.Context, sel provisioner.Selector) ([]provisioner.Found, error) {
	h.settle(ctx)
	if sel.Instance == "" {
		sel.Instance = h.Instance
	}
	return provisioner.ListAll(ctx, h.Runtime, sel)
}

func (h Harness) mustList(t *testing.T, sel provisioner.Selector) []provisioner.Found {
	t.Helper()
	all, err := h.list(within(t), sel)
	if err != nil {
		t.Fatalf("list %+v: %v", sel, err)
	}
	return all
}

// refs returns kinds and ids, sorted.
func refs(all []provisioner.Found) []string {
	var names []string
	for _, f := range all {
		names = append(names, f.Kind+" "+f.ID)
	}
	slices.Sort(names)
	return names
}

func wantRefs(t *testing.T, what string, got, want []provisioner.Found) {
	t.Helper()
	if a, b := refs(got), refs(want); !slices.Equal(a, b) {
		t.Errorf("%s: %q, want %q", what, a, b)
	}
}

func testSelector(t *testing.T, h Harness) {
	a, b := h.create(t), h.create(t)
	all := h.mustList(t, provisioner.Selector{})
	for _, e := range []*environment{a, b} {
		mine := h.mustList(t, provisioner.Selector{Environment: e.spec.Owner.Environment})
		wantRefs(t, "one environment's", mine, h.of(all, e.spec.Owner.Environment))
		if len(mine) != len(e.handle.Resources) {
			t.Errorf("%d of it are listed, %d were made", len(mine), len(e.handle.Resources))
		}
	}
	if none := h.mustList(t, provisioner.Selector{Environment: "no-such"}); len(none) > 0 {
		t.Errorf("an environment that is none has %q", refs(none))
	}
	if none := h.mustList(t, provisioner.Selector{Instance: h.Instance + "x", Environment: a.spec.Owner.Environment}); len(none) > 0 {
		t.Errorf("another instance's environment has %q", refs(none))
	}
	_, err := h.Runtime.List(within(t), provisioner.Selector{})
	wantClass(t, "List of no instance", err, provisioner.Permanent)
}

// testPages walks the pages by hand: none is longer than the first, no resource is on two, and none is missing.
func testPages(t *testing.T, h Harness) {
	var made []provisioner.Found
	for range 3 {
		e := h.create(t)
		for _, ref := range e.handle.Resources {
			made = append(made, provisioner.Found{Ref: ref})
		}
	}
	h.settle(within(t))
	var walked []provisioner.Found
	sel := provisioner.Selector{Instance: h.Instance}
	for range 100 {
		page, err := h.Runtime.List(within(t), sel)
		if err != nil {
			t.Fatalf("List after %q: %v", sel.After, err)
		}
		walked = append(walked, page.Found...)
		if sel.After = page.Next; page.Next == "" {
			break
		}
	}
	if all := refs(walked); len(slices.Compact(all)) != len(walked) {
		t.Errorf("some are on two pages: %q", refs(walked))
	}
	wantRefs(t, "ListAll, and page by page", h.mustList(t, provisioner.Selector{}), walked)
	for _, f := range made {
		if !slices.ContainsFunc(walked, func(w provisioner.Found) bool { return w.Kind == f.Kind && w.ID == f.ID }) {
			t.Errorf("%s %s was made and is on no page", f.Kind, f.ID)
		}
	}
}

func testNoPage(t *testing.T, h Harness) {
	page, err := h.Runtime.List(within(t), provisioner.Selector{Instance: h.Instance, After: "no page ended here"})
	wantClass(t, "List from a place that is not known", err, provisioner.Conflict)
	if !errors.Is(err, provisioner.ErrListMoved) || len(page.Found) > 0 {
		t.Errorf("it gave %d resources and %v, want ErrListMoved", len(page.Found), err)
	}
}

func testRemovalOrder(t *testing.T, h Harness) {
	e := h.create(t)
	all := h.of(e.resources(t), e.spec.Owner.Environment)
	for i, a := range all {
		for j, b := range all {
			if order := h.Runtime.RemovalOrder(a.Ref, b.Ref); (order == 0) != (i == j) || (order < 0) != (h.Runtime.RemovalOrder(b.Ref, a.Ref) > 0) {
				t.Errorf("%s and %s have no order", a.Kind, b.Kind)
			}
		}
		if err := h.Runtime.Remove(within(t), a.Ref, a.Environment()); err != nil {
			t.Errorf("remove %s %s in its turn: %v", a.Kind, a.Name, err)
		}
	}
	e.wantNothing(t)
	e.destroy(t, e.handle.State)
}

func testAttachment(t *testing.T, h Harness) {
	e := h.create(t)
	for _, f := range e.resources(t) {
		switch {
		case f.ID != e.handle.Sandbox.ID:
			if f.Runs() {
				t.Errorf("%s %s is listed as %q", f.Kind, f.Name, f.State)
			}
		case f.Kind != h.Capabilities.SandboxKind || f.Name != e.spec.Owner.ResourceName():
			t.Errorf("the sandbox is %s %s, want %s %s", f.Kind, f.Name, h.Capabilities.SandboxKind, e.spec.Owner.ResourceName())
		case h.Capabilities.Networks && f.Attachment != e.spec.Sandbox.Network:
			t.Errorf("the sandbox is listed on %q, and was made on %q", f.Attachment, e.spec.Sandbox.Network)
		}
	}
}
