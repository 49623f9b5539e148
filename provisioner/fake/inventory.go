package fake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// list is one that is given page by page. It shows one moment.
type list struct{ rest []provisioner.Found }

// openLists is how many lists may be under way; of more the oldest cannot go on.
const openLists = 32

// change is a resource that came, with nothing before, or went.
type change struct {
	at  time.Time
	id  string
	was *resource
}

// List returns what carries the instance's label, and the environment's.
func (r *Runtime) List(ctx context.Context, sel provisioner.Selector) (page provisioner.Page, err error) {
	op := OpInventory
	if sel.After != "" {
		op = OpNextPage
	}
	err = r.w.simple(ctx, op, sel.Environment, func() error {
		if sel.Instance == "" {
			return provisioner.Errorf(provisioner.Permanent, "list resources", "no instance is given")
		}
		if sel.After == "" {
			page = r.w.page(r.w.selected(sel))
			return nil
		}
		l, known := r.w.lists[sel.After]
		if !known {
			return provisioner.Errorf(provisioner.Conflict, "list resources", "%w", provisioner.ErrListMoved)
		}
		page = r.w.page(l.rest)
		return nil
	})
	return page, err
}

// selected lists what a selector selects, as late as the world is. Within tx.
func (w *World) selected(sel provisioner.Selector) []provisioner.Found {
	all := w.frozen
	if !w.isFrozen {
		all = w.find(w.shown(), sel.Instance)
	}
	if sel.Environment == "" {
		return slices.Clone(all)
	}
	return slices.DeleteFunc(slices.Clone(all), func(f provisioner.Found) bool { return f.Environment() != sel.Environment })
}

// page cuts the next page off a list. Within tx.
func (w *World) page(all []provisioner.Found) provisioner.Page {
	if w.like.pageSize == 0 || len(all) <= w.like.pageSize {
		return provisioner.Page{Found: all}
	}
	w.listed++
	next := "page-" + strconv.FormatInt(w.listed, 10)
	w.lists[next] = list{all[w.like.pageSize:]}
	delete(w.lists, "page-"+strconv.FormatInt(w.listed-openLists, 10))
	return provisioner.Page{Found: all[:w.like.pageSize:w.like.pageSize], Next: next}
}

// ForgetLists makes every list that is under way one that cannot go on.
func (w *World) ForgetLists() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.lists)
}

// noteChange keeps what came or went, for as long as lists do not show it. Within tx.
func (w *World) noteChange(old, now *resource) {
	if w.like.can.ListLag == 0 || old != nil && now != nil {
		return
	}
	c := change{at: time.Now(), was: old}
	if now != nil {
		c.id = now.ID
	} else {
		c.id = old.ID
	}
	w.changes = append(w.changes, c)
}

// shown is what exists as lists show it. Within tx.
func (w *World) shown() map[string]*resource {
	since := time.Now().Add(-w.like.can.ListLag)
	w.changes = slices.DeleteFunc(w.changes, func(c change) bool { return c.at.Before(since) })
	if len(w.changes) == 0 {
		return w.resources.rows
	}
	rows := maps.Clone(w.resources.rows)
	for _, c := range slices.Backward(w.changes) {
		if c.was == nil {
			delete(rows, c.id)
		} else {
			rows[c.id] = c.was
		}
	}
	return rows
}

// find lists an instance's resources among rows. Within tx.
func (w *World) find(rows map[string]*resource, instance string) []provisioner.Found {
	var all []provisioner.Found
	for _, r := range rows {
		if r.Labels[provisioner.LabelInstance] == instance {
			all = append(all, w.found(r))
		}
	}
	sortFound(all)
	return all
}

// RemovalOrder goes by the kind.
func (r *Runtime) RemovalOrder(a, b provisioner.Ref) int {
	return r.w.removalOrder(a.Kind, a.ID, b.Kind, b.ID)
}

func (w *World) removalOrder(kindA, a, kindB, b string) int {
	rank := func(kind string) int { return slices.Index(w.like.removed, kind) }
	return cmp.Or(cmp.Compare(rank(kindA), rank(kindB)), cmp.Compare(a, b))
}

// Remove takes one resource away by its id. Conflict: it is of another environment than it was found to be of, or one of its
// environment that is to go before it is still there.
func (r *Runtime) Remove(ctx context.Context, ref provisioner.Ref, environment string) error {
	return r.w.simple(ctx, OpRemove, environment, func() error {
		there, ok := r.w.resources.rows[ref.ID]
		if !ok {
			return nil
		}
		op := "remove " + there.Kind
		if err := sameEnvironment(op, environment, there); err != nil {
			return err
		}
		if user := r.w.userOf(there, environment); user != nil {
			return provisioner.Errorf(provisioner.Conflict, op, "%s %s is still used by %s %s", there.Kind, there.ID, user.Kind, user.ID)
		}
		return r.w.remove(ref.ID)
	})
}

// userOf returns the sandbox that uses a resource of its environment, which cannot go before it; nil for none. Within tx.
func (w *World) userOf(r *resource, environment string) *resource {
	if environment == "" || r.Sandbox != nil {
		return nil
	}
	for _, other := range w.resources.rows {
		if other.Sandbox != nil && other.Labels[provisioner.LabelEnvironment] == environment && other.Name == r.Name {
			return other
		}
	}
	return nil
}

// sameEnvironment refuses a resource that is not of the environment which it was found for.
func sameEnvironment(op, environment string, r *resource) error {
	if got := r.Labels[provisioner.LabelEnvironment]; got != environment {
		return provisioner.Errorf(provisioner.Conflict, op, "%s %s belongs to environment %q; it is left alone", r.Kind, r.ID, got)
	}
	return nil
}

// attachment is how a sandbox joins a network of this provider: a text that names it in a way of its own.
func attachment(network string) provisioner.Attachment {
	if network == "" {
		return ""
	}
	return provisioner.Attachment(fmt.Sprintf("join:%s", network))
}

// networkOf is the network that something joins. A plain name is what earlier versions handed out.
func networkOf(at provisioner.Attachment) string { return strings.TrimPrefix(string(at), "join:") }

// Take takes a resource away from outside, as an administrator does who asks nobody what uses it.
func (w *World) Take(id string) error {
	return w.tx(func() error { return w.remove(id) })
}
