package provisioner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

// pages is an inventory of a list in pages of one resource. fail is asked before each page.
type pages struct {
	provisioner.Inventory
	ids   []string
	asked []string
	fail  func(call int) error
	// next changes the place where a page says that the list goes on.
	next func(at int) string
}

func (p *pages) List(_ context.Context, sel provisioner.Selector) (provisioner.Page, error) {
	p.asked = append(p.asked, sel.After)
	if p.fail != nil {
		if err := p.fail(len(p.asked)); err != nil {
			return provisioner.Page{}, err
		}
	}
	at := 0
	if sel.After != "" {
		if _, err := fmt.Sscan(sel.After, &at); err != nil {
			return provisioner.Page{}, err
		}
	}
	page := provisioner.Page{Found: []provisioner.Found{{Ref: provisioner.Ref{Kind: "pod", ID: p.ids[at]}}}}
	if at+1 < len(p.ids) {
		page.Next = fmt.Sprint(at + 1)
	}
	if p.next != nil {
		page.Next = p.next(at)
	}
	return page, nil
}

func TestListAllIsComplete(t *testing.T) {
	p := &pages{ids: []string{"a", "b", "c"}}
	all, err := provisioner.ListAll(t.Context(), p, provisioner.Selector{Instance: "i"})
	var ids []string
	for _, f := range all {
		ids = append(ids, f.ID)
	}
	if err != nil || !slices.Equal(ids, p.ids) || !slices.Equal(p.asked, []string{"", "1", "2"}) {
		t.Errorf("it gave %v, %v, asked for %q", ids, err, p.asked)
	}
}

// TestAListThatFailsGivesNothing: a part of a list, taken for the whole, would show what exists to be gone.
func TestAListThatFailsGivesNothing(t *testing.T) {
	away := provisioner.Errorf(provisioner.Transient, "list resources", "the engine went away")
	p := &pages{ids: []string{"a", "b", "c"}, fail: func(call int) error {
		if call == 3 {
			return away
		}
		return nil
	}}
	if all, err := provisioner.ListAll(t.Context(), p, provisioner.Selector{Instance: "i"}); !errors.Is(err, away) || all != nil {
		t.Errorf("it gave %+v, %v; want nothing, and the cause", all, err)
	}
}

// TestAListThatMovedIsBegunAnew, and not gone on with: it is given up after a few times.
func TestAListThatMovedIsBegunAnew(t *testing.T) {
	moved := provisioner.Errorf(provisioner.Conflict, "list resources", "%w", provisioner.ErrListMoved)
	p := &pages{ids: []string{"a", "b"}, fail: func(call int) error {
		if call == 2 {
			return moved
		}
		return nil
	}}
	all, err := provisioner.ListAll(t.Context(), p, provisioner.Selector{Instance: "i"})
	if err != nil || len(all) != 2 || !slices.Equal(p.asked, []string{"", "1", "", "1"}) {
		t.Errorf("it gave %+v, %v, asked for %q", all, err, p.asked)
	}
	p = &pages{ids: []string{"a", "b"}, fail: func(call int) error {
		if call%2 == 0 {
			return moved
		}
		return nil
	}}
	if all, err = provisioner.ListAll(t.Context(), p, provisioner.Selector{Instance: "i"}); !provisioner.Is(err, provisioner.Transient) || all != nil {
		t.Errorf("a list that always moves gave %+v, %v; want it to be given up", all, err)
	}
}

func TestAListWithoutAnEnd(t *testing.T) {
	for name, next := range map[string]func(int) string{
		"a circle": func(at int) string { return fmt.Sprint((at + 1) % 2) },
		"itself":   func(int) string { return "0" },
	} {
		p := &pages{ids: []string{"a", "b"}, next: next}
		if all, err := provisioner.ListAll(t.Context(), p, provisioner.Selector{Instance: "i"}); !provisioner.Is(err, provisioner.Transient) || all != nil {
			t.Errorf("%s: it gave %d, %v; want an error", name, len(all), err)
		}
	}
}

// declaring is a runtime with a method more than it declares.
type declaring struct {
	provisioner.Runtime
	provisioner.Pauser
	can provisioner.Capabilities
}

func (d declaring) Capabilities() provisioner.Capabilities { return d.can }

func TestCan(t *testing.T) {
	if _, ok := provisioner.Can[provisioner.Pauser](declaring{}); ok {
		t.Error("it is a Pauser and does not declare it, and counts as one")
	}
	if _, ok := provisioner.Can[provisioner.Pauser](declaring{can: provisioner.Capabilities{Pause: true}}); !ok {
		t.Error("it declares that it is a Pauser, and does not count as one")
	}
	if _, ok := provisioner.Can[provisioner.Meter](declaring{can: provisioner.Capabilities{Traffic: true}}); ok {
		t.Error("it declares what it has no methods for, and counts as a Meter")
	}
	defer func() {
		if recover() == nil {
			t.Error("what is no capability was asked for, and nobody was told")
		}
	}()
	provisioner.Can[provisioner.Runtime](declaring{})
}
