package provisionertest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var markObligations = []obligation{
	{"declared or absent", func(t *testing.T, h Harness) {
		if _, is := provisioner.Can[provisioner.Marker](h.Runtime); is != h.Capabilities.Marks {
			t.Errorf("the runtime is a Marker: %v; declared: %v", is, h.Capabilities.Marks)
		}
	}},
	{"a mark is kept, listed and removed", testMark},
	{"a restart forgets no mark, and takes none away", testMarkStays},
}

// mark keeps one for the length of a test.
func (h Harness) mark(t *testing.T, name, text string) provisioner.Found {
	t.Helper()
	name = "bothy-" + h.Instance + "-" + name
	labels := h.Key.Labels(provisioner.Owner{Instance: h.Instance, Mark: text, Created: time.Now()})
	if err := h.Runtime.(provisioner.Marker).Mark(within(t), name, labels); err != nil {
		t.Fatalf("Mark: %v", err)
	}
	f := h.marked(t, name)
	if f == nil || f.Labels[provisioner.LabelMark] != text || !h.Key.Verify(f.Labels) {
		t.Fatalf("List gives %+v, want the mark %q", f, text)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience) // the test's own has ended
		defer stop()
		if err := h.Runtime.(provisioner.Marker).Unmark(ctx, f.Name); err != nil {
			t.Errorf("clean up: Unmark: %v", err)
		}
	})
	return *f
}

// marked finds a mark in the inventory.
func (h Harness) marked(t *testing.T, name string) *provisioner.Found {
	t.Helper()
	all := h.mustList(t, provisioner.Selector{})
	if i := slices.IndexFunc(all, func(f provisioner.Found) bool { return f.Name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

func testMark(t *testing.T, h Harness) {
	if !h.Capabilities.Marks {
		return
	}
	first := h.mark(t, "mark-7", "7 1")
	if again := h.mark(t, "mark-7", "7 1"); again.ID != first.ID {
		t.Errorf("the same mark again is %s, and was %s", again.ID, first.ID)
	}
	h.mark(t, "mark-8", "8 1")
	for range 2 { // what is gone is no error
		if err := h.Runtime.(provisioner.Marker).Unmark(within(t), first.Name); err != nil {
			t.Fatalf("Unmark: %v", err)
		}
	}
	if f := h.marked(t, first.Name); f != nil {
		t.Errorf("it was removed and is listed: %+v", f)
	}
}

func testMarkStays(t *testing.T, h Harness) {
	if !h.Capabilities.Marks || !h.Capabilities.Networks {
		return
	}
	f := h.mark(t, "mark-9", "9 1")
	again := h.Restart(t)
	keeper := again.(provisioner.NetworkKeeper)
	if err := keeper.Reconcile(within(t), nil); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	if err := keeper.Close(within(t)); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if h.marked(t, f.Name) == nil {
		t.Error("the mark is gone with the runtime that kept it")
	}
}
