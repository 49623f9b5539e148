package provisioner

import (
	"context"
	"errors"
	"time"
)

// Ref names one resource at a provider, of whatever kind: a container, a pod, a volume, a load balancer.
type Ref struct {
	// Kind is the provider's word: "container", "pod", "volume", ...
	Kind string `json:"kind"`
	// ID is the provider's own, complete; Name is for people, and may be the same.
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// CreatedAt is the provider's time of creation; zero when it tells none.
	CreatedAt time.Time `json:"created_at,omitzero"`
}

// Attachment is how a sandbox joins a network that a NetworkKeeper reserved for it. It is the keeper's own text: whoever else has it
// stores it, compares it and returns it unchanged. "" is none.
type Attachment string

// State is what a sandbox was doing when it was listed.
type State string

// The states of a listed sandbox. Unknown is that of all that nothing runs in.
const (
	StateUnknown State = ""
	StateCreated State = "created"
	StateRunning State = "running"
	StatePaused  State = "paused"
	// StateEnded: Runtime.Inspect tells its exit code and when that was.
	StateEnded State = "ended"
)

// Found is one resource found at the provider by label, whatever its kind.
type Found struct {
	Ref
	// Labels as found. Trust them only after Key.Verify.
	Labels map[string]string
	// Attachment is the network that a sandbox is on. What holds a network and is of no environment tells that network's own.
	Attachment Attachment
	// State is what it was doing, if something runs in it.
	State State
	// OutOfMemory says, in what Watcher.Watch tells alone, that a process inside was ended for lack of memory just now.
	OutOfMemory bool
}

// Environment is the environment that its labels name; "" for what is of none.
func (f Found) Environment() string { return f.Labels[LabelEnvironment] }

// Runs reports whether something runs in a resource of its kind, be it over or not begun.
func (f Found) Runs() bool { return f.State != StateUnknown }

// Selector says which resources a list is to have.
type Selector struct {
	// Instance is whose label they carry. It is never empty.
	Instance string
	// Environment is the only environment whose they are; "" for all, and for what is of none.
	Environment string
	// After is where the list goes on: the Next of the page before; "" from the beginning.
	After string
}

// Page is a part of a list.
type Page struct {
	Found []Found
	// Next is where the list goes on; "" when this was its last page. A page that is not the last may be empty.
	Next string
}

// ErrListMoved is a cause of an error of class Conflict: a list cannot go on where a page ended, and has to be begun anew.
var ErrListMoved = errors.New("the list cannot go on: what it was made of has changed")

// Inventory finds what exists at a provider, and removes it.
type Inventory interface {
	// List returns one page of the resources that sel selects, of every kind that a blueprint, a NetworkKeeper or a Marker can make.
	// All pages together show each resource that existed from the first call to the last exactly once, or there is an error: never a
	// part. They may be late by Capabilities.ListLag. Use ListAll. Conflict with ErrListMoved: sel.After is not known any more.
	List(ctx context.Context, sel Selector) (Page, error)
	// RemovalOrder is how resources are to be removed, as slices.SortFunc takes it: what uses another goes before it.
	RemovalOrder(a, b Ref) int
	// Remove takes a resource away by force, by its kind and id. environment is whose it was found to be, "" for what is of none.
	// Removing what is gone is success. Conflict, and it is left alone: it is not the installation's, or another environment's.
	Remove(ctx context.Context, ref Ref, environment string) error
}

const (
	// listTries is how often a list is begun that cannot go on.
	listTries = 3
	// maxPages bounds a list, so that one without an end is an error and not a daemon without memory.
	maxPages = 10_000
)

// ListAll returns every resource that sel selects, page after page. It is complete, or there is an error. Class Transient: the pages do
// not come to an end.
func ListAll(ctx context.Context, inventory Inventory, sel Selector) (all []Found, err error) {
	for range listTries {
		all, err = listOnce(ctx, inventory, sel)
		if !errors.Is(err, ErrListMoved) {
			return all, err
		}
	}
	return nil, Errorf(Transient, opListAll, "it was begun %d times: %w", listTries, err)
}

const opListAll = "list resources"

func listOnce(ctx context.Context, inventory Inventory, sel Selector) ([]Found, error) {
	var all []Found
	seen := map[string]bool{}
	for range maxPages {
		page, err := inventory.List(ctx, sel)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Found...)
		if page.Next == "" {
			return all, nil
		}
		if seen[page.Next] {
			return nil, Errorf(Transient, opListAll, "the provider's list goes round in a circle")
		}
		seen[page.Next] = true
		sel.After = page.Next
	}
	return nil, Errorf(Transient, opListAll, "the provider's list has more than %d pages", maxPages)
}
