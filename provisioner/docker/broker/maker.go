package broker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// maker makes the objects of one environment, and records each before and after.
type maker struct {
	grant provisioner.Grant
	scope *scope
	// still returns an error when the door may no longer make the engine change anything.
	still func() error
	// count counts creates that were passed on and not answered, by environment.
	count func(environment string, by int)
	// creates are those that were passed on and not answered.
	creates sync.WaitGroup

	mu   sync.Mutex
	made []provisioner.Object
	// claimed are the shares of all that was made and of creates under way; a volume's is empty.
	claimed []*share
}

// list lists what was made.
func (m *maker) list() []provisioner.Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.made)
}

// mayMake refuses names that are not the environment's.
func (m *maker) mayMake(attribute, name string) error {
	own := m.grant.Spec.Owner.ResourceName()
	switch {
	case !m.grant.Create:
		return &provisioner.Refusal{Attribute: attribute, Found: shorten(name), Want: "nothing is made while an environment is destroyed"}
	case name != own && !strings.HasPrefix(name, own+"-") || len(name) > 128:
		return &provisioner.Refusal{Attribute: attribute, Found: shorten(name), Want: "var.bothy.name, or a name that begins with it and a hyphen"}
	}
	return nil
}

// create records an object, has it made, and records the answer. The call to the engine does not end with the request or the
// door: an answer that nobody waits for any more still says what exists. taken is what it takes of the environment's size.
func (m *maker) create(ctx context.Context, o provisioner.Object, do func(context.Context) (id string, made any, err error), taken *share) (any, error) {
	if err := m.claim(o, taken); err != nil {
		return nil, err
	}
	if err := m.grant.Intend(ctx, o); err != nil {
		m.settled(o, taken)
		return nil, err
	}
	if err := m.still(); err != nil {
		m.grant.Answered(o) // it was not passed on
		m.settled(o, taken)
		return nil, err
	}
	type outcome struct {
		made any
		err  error
	}
	done := make(chan outcome, 1)
	environment := m.grant.Spec.Owner.Environment
	m.creates.Add(1)
	m.count(environment, 1)
	go func() {
		defer m.creates.Done()
		defer m.count(environment, -1)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
		defer cancel()
		id, made, err := do(ctx)
		if err == nil {
			o.ID = id
		} else if unanswered(err) {
			done <- outcome{err: err} // the provider need not wait for what follows
			o.ID = m.settle(context.WithoutCancel(ctx), o)
		}
		m.settled(o, taken)
		select { // who closes the door waits for the record, the provider need not
		case done <- outcome{made, err}:
		default:
		}
		m.grant.Answered(o)
	}()
	select {
	case got := <-done:
		return got.made, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// claim counts what is about to be made against the environment's size and its number of things, which those have together that
// are there and those that are under way.
func (m *maker) claim(o provisioner.Object, taken *share) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	size := m.grant.Spec.Sandbox
	memory, cpus := taken.memory, taken.cpus
	for _, other := range m.claimed {
		memory, cpus = memory+other.memory, cpus+other.cpus
	}
	switch {
	case len(m.claimed) >= maxObjects:
		return &provisioner.Refusal{Attribute: "docker_" + o.Kind + ".name", Found: shorten(o.Name), Want: "at most 16 containers and volumes in one environment"}
	case memory > size.MemoryMiB<<20:
		return &provisioner.Refusal{Attribute: "docker_container.memory", Found: mebibytes(memory) + " in all",
			Want: "at most var.bothy.memory_mib for all containers together"}
	case cpus > size.CPUs+1e-6:
		return &provisioner.Refusal{Attribute: "docker_container.cpu_quota", Found: cores(cpus) + " in all",
			Want: "at most var.bothy.cpus for all containers together"}
	}
	m.claimed = append(m.claimed, taken)
	return nil
}

// settled notes what became of a create. What made nothing takes nothing; what is not known yet is still counted.
func (m *maker) settled(o provisioner.Object, taken *share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.ID != "" {
		m.made = append(m.made, o)
		return
	}
	m.claimed = slices.DeleteFunc(m.claimed, func(s *share) bool { return s == taken })
}

// underWay reports whether a create is under way.
func (m *maker) underWay() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.claimed) > len(m.made)
}

// settle finds out what became of a create that has no answer: the object's id, or "" when the engine answers and there is none,
// long enough after.
func (m *maker) settle(ctx context.Context, o provisioner.Object) string {
	for since := time.Now(); ; {
		id, err := m.scope.find(ctx, o)
		if id != "" {
			return id
		}
		if err == nil && time.Since(since) >= settleAfter {
			return ""
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return ""
		}
	}
}

// share is what one container takes of the environment's size.
type share struct {
	memory int64
	cpus   float64
}
