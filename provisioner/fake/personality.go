package fake

import (
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Personality is the sort of provider that a World plays.
type Personality string

const (
	// DockerLike makes one container an environment, on networks that it keeps. It has every capability, and lists everything at
	// once and as it is.
	DockerLike Personality = ""
	// ClusterLike makes a pod, a claim and a service an environment, in names and ids of other forms. It lists page by page what was
	// there a moment ago. It keeps no networks, freezes, kills and restarts nothing, and counts neither traffic nor processor time.
	ClusterLike Personality = "cluster"
)

// character is what a personality consists of.
type character struct {
	// sandbox is the kind that commands run in, mark that of what a Marker keeps.
	sandbox, mark string
	// made are the kinds of an environment, in the order in which they are made.
	made []string
	// removed are all kinds, in the order in which they are to be removed.
	removed []string
	// idPrefix is what ids begin with.
	idPrefix string
	// pageSize is how many resources are on a page; 0 for all.
	pageSize int
	can      provisioner.Capabilities
}

const kindNetwork = "network"

// clusterPage is small, so that every list has several pages.
const clusterPage = 3

func (p Personality) character() character {
	if p == ClusterLike {
		return character{
			sandbox: "pod", mark: "config",
			made:    []string{"claim", "service", "pod"},
			removed: []string{"pod", "service", "claim", "config"},
			// A separator of folders, as a name within a namespace has.
			idPrefix: "bothy/", pageSize: clusterPage,
			can: provisioner.Capabilities{
				SandboxKind: "pod", ListLag: 20 * time.Millisecond,
				TTY: true, Stage: true, Usage: true, Marks: true, Watch: true, Ports: true,
			},
		}
	}
	return character{
		sandbox: "container", mark: "volume",
		made:    []string{"container"},
		removed: []string{"container", kindNetwork, "volume"},
		can: provisioner.Capabilities{
			SandboxKind: "container",
			TTY:         true, Networks: true, Stage: true, Pause: true, Traffic: true, Counters: true, Usage: true, Pressure: true,
			Marks: true, Kill: true, Restart: true, Watch: true, Ports: true,
		},
	}
}

// Capabilities are those of the world's personality, less what Options.Lack takes away.
func (r *Runtime) Capabilities() provisioner.Capabilities { return r.w.like.can }

// Kinds are the kinds of what one environment is made of, the sandbox's first.
func (w *World) Kinds() []string {
	kinds := []string{w.like.sandbox}
	for _, kind := range w.like.made {
		if kind != w.like.sandbox {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// undeclared is the answer to a call of a capability that the world does not declare, which no correct caller makes.
func (w *World) undeclared(op string, declared bool) error {
	if declared {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breaches = append(w.breaches, "called, and not declared: "+op)
	return provisioner.Errorf(provisioner.Permanent, op, "the fake provider does not declare this capability")
}
