package hostproc

import (
	"fmt"
	"os"
	"time"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

const (
	// killPasses bounds how often one kill looks again for what was forked meanwhile.
	killPasses = 20
)

// Kill freezes and kills what runs in a container's control groups and in its pid namespace, and the engine's
// helpers outside that wait for one of those. It gives how many processes it killed.
func Kill(id string) (killed int, err error) {
	if !engine.IsID(id) {
		return 0, fmt.Errorf("%q is no container's id", id)
	}
	groups := cgroupsOf(id)
	for _, g := range groups {
		cgroup.Freeze(g, true)
	}
	defer func() {
		for _, g := range groups {
			cgroup.Freeze(g, false)
		}
	}()
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return 0, fmt.Errorf("read own namespace: %w", err)
	}
	seen := map[int]bool{}
	// The namespace is read from a member of the control groups, which are the kernel's word; it may be readable only once.
	inside := ""
	for range killPasses {
		found := 0
		for _, g := range groups {
			for _, pid := range cgroup.Members(g) {
				p := Hold(pid)
				if p == nil {
					continue
				}
				if p.in(id) {
					if ns := p.namespace(); ns != "" && ns != own {
						inside = ns
					}
					found += p.kill(seen)
				}
				p.Release()
			}
		}
		helpers := map[int]bool{}
		all := processes()
		for _, pid := range all {
			p := Hold(pid)
			if p == nil {
				continue
			}
			switch ns := p.namespace(); {
			case inside != "" && ns == inside:
				found += p.kill(seen)
			case ns == own && p.helps(id):
				helpers[pid] = true
				found += p.kill(seen)
			}
			p.Release()
		}
		// What a helper has started and is not in the container yet is called by the engine's own tool, too.
		for _, pid := range all {
			p := Hold(pid)
			if p == nil {
				continue
			}
			if helpers[p.parent()] && p.tool() {
				found += p.kill(seen)
			}
			p.Release()
		}
		for _, g := range groups {
			cgroup.Freeze(g, false) // a frozen process of version 1 does not end
		}
		if found == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond) // of a process that is not our child, only looking tells that it is gone
	}
	return len(seen), nil
}

// EnteredBy reports whether a process of a container is one that the engine is starting there: the child of one of its
// tools, which runs outside. What was started is a child of the container's shim. known are the parents that were looked at.
func EnteredBy(pid int, id string, known map[int]bool) bool {
	p := Hold(pid)
	if p == nil {
		return false
	}
	at := p.parent()
	p.Release()
	if is, ok := known[at]; ok {
		return is
	}
	parent := Hold(at)
	if parent == nil {
		return false
	}
	defer parent.Release()
	own, err := os.Readlink("/proc/self/ns/pid")
	known[at] = err == nil && parent.namespace() == own && parent.helps(id)
	return known[at]
}
