package provisioner

import (
	"context"
	"time"
)

// Broker is the capability of a Runtime to open the only door to its engine that a blueprint ever has: an endpoint of one
// environment, through which nothing but this environment's things can be made, seen or removed, and which closes when the
// work on it is over or can no longer be trusted. In general: a Driver's provider holds a credential that can do only this
// environment's things. (On Kubernetes that is a service account of one namespace, on AWS a session policy.)
type Broker interface {
	// Harden fills in what this runtime wants a blueprint to say of every sandbox.
	Harden(s *Sandbox)
	// Open opens a door for one piece of work. The door closes with ctx as well.
	Open(ctx context.Context, grant Grant) (Door, error)
	// Unanswered is how many creates for an environment were passed on by this process and have no answer from the engine yet.
	Unanswered(environment string) int
	// Exists looks for one object by its own id (a volume's is its name), whatever labels it carries.
	Exists(ctx context.Context, o Object) (bool, error)
}

// Grant says what a door is for.
type Grant struct {
	// Spec is what may be made: its image, network, limits and labels, and nothing that contradicts them.
	Spec Spec
	// Create is whether anything may be made at all; a door for a destroy makes nothing.
	Create bool
	// Trusted reports whether the work's lease can still be trusted. It is asked before every request.
	Trusted func() bool
	// Intend records an object before its create is passed on; an error refuses the create.
	Intend func(ctx context.Context, o Object) error
	// Answered records what the engine said to a create, also after the door was closed. The object has an id when it was made.
	Answered func(o Object)
}

// Door is a broker's endpoint while it is open.
type Door interface {
	// Endpoint is what Sandbox.Engine is to be: "unix:///path".
	Endpoint() string
	// Refusal is the first request that the door refused because of what it asked for; nil for none.
	Refusal() *Refusal
	// Made returns what was made through this door, in order.
	Made() []Object
	// Judge looks at what was made and compares it with the grant once more. A difference is a Refusal in an error of class Permanent.
	Judge(ctx context.Context, sandbox string) error
	// Close lets no further request pass and waits for those under way, for a bounded time: what the engine has not answered
	// by then is counted by Broker.Unanswered.
	Close()
}

// Object is one thing that a blueprint made, or means to make.
type Object struct {
	// Kind is as a Ref's.
	Kind string
	Name string
	// ID is the provider's own, complete; "" while it is not known. A volume's is its name.
	ID string
	// At is when it was intended, or answered.
	At time.Time
}

// FaultTeller is a Door that knows of the engine's own errors (an HTTP status of 500 or more). They say nothing of what was asked
// for, which the driver cannot know.
type FaultTeller interface {
	// EngineFault is the last of them; nil for none.
	EngineFault() error
}

// Refusal is why a request of a blueprint was refused. It is an error's cause that travels typed.
type Refusal struct {
	// Attribute is Terraform's name of what is wrong, such as docker_container.privileged; for a request that no attribute
	// stands for, what was asked of the engine.
	Attribute string
	// Found is what the blueprint asked for, shortened; Want is what is allowed.
	Found, Want string
}

// Error says it in one line.
func (r *Refusal) Error() string {
	if r.Found == "" {
		return r.Attribute + ": " + r.Want
	}
	return r.Attribute + ": got " + r.Found + ", want " + r.Want
}

// Ulimit is a limit of the kernel's on each process of a sandbox.
type Ulimit struct {
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}
