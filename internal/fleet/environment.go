// Package fleet has bothy's nouns and the state machine of an environment. It does no I/O and imports only the standard library.
package fleet

import "time"

// Environment is one provisioned instance: a row from intent to tombstone. All times are UTC; a zero time means "not yet".
type Environment struct {
	// ID is random, never reused, and part of every resource's name.
	ID string
	// Name is its name for people, unique among the live environments of a tenant.
	Name string
	// Tenant, Team and Owner (the user) are the requester's; all are empty while it is an unclaimed member of a pool.
	Tenant, Team, Owner string
	// Share is who else may use and delete it besides its owner; empty while it is an unclaimed member of a pool.
	Share Share
	// Project (a repository's name) and PullRequest are its purpose; may be empty.
	Project, PullRequest string
	// IdempotencyKey of the request, unique per owner; empty without one.
	IdempotencyKey string

	Blueprint BlueprintRef
	// Size is one of the blueprint's sizes, with its limits as of admission.
	Size  Size
	Image string
	// Users are the users that exec may run as; the first is the default.
	Users []string
	// Workspace is the directory that source is copied to.
	Workspace string
	// Inputs are the checked inputs: string, int64, float64 or bool.
	Inputs map[string]any

	// Pool is the pool that it was created for, also after a claim; empty if it was created for a request.
	Pool string
	// MatchKey identifies the requests that may claim it; see MatchKey.
	MatchKey string
	// Host is the host that it is placed on; empty until it is placed.
	Host string
	// Vars are environment variables of every command.
	Vars map[string]string
	// SecretNames are the files in the secrets directory; the row never has their contents.
	SecretNames []string
	// Paused: it is frozen while it is warm.
	Paused bool
	// Cold is why a request got no warm environment; empty if it did, and for members of pools.
	Cold string
	// Queue is the queue status of a request that waits for capacity.
	Queue Queue

	State State
	// Reason is why it is in this state, in one sentence; may be empty.
	Reason string
	// Failure is set when it fails, and stays set.
	Failure *Failure
	// Revision counts writes to the row; a write against an older revision is a conflict.
	Revision int64

	Lease Lease
	Work  Work

	// Network is the name of the reserved network, recorded before the network is used.
	Network string
	// SandboxID is the runtime's id of the sandbox. StartedAt is its last known start: a later one means a restart.
	SandboxID string
	StartedAt time.Time

	CreatedAt   time.Time
	UpdatedAt   time.Time
	ReadyAt     time.Time
	DestroyedAt time.Time
	// BilledFrom is when its first resource was created. BilledUntil is when its last resource was seen gone, or last seen before it was
	// removed; zero while it exists. A retried create starts a new period: BilledBefore is the length of the earlier ones. See
	// ledger.Begin.
	BilledFrom   time.Time
	BilledUntil  time.Time
	BilledBefore time.Duration
	// BookedUntil is the time up to which the ledger has entries; later time is still open.
	BookedUntil time.Time
	// HeldMicros and HeldFor are the money and leased time held from the limits of its tenant, team and user until it is gone; extending
	// the lease raises them. Afterwards its actual cost counts, but never more than these.
	HeldMicros int64
	HeldFor    time.Duration
	// HeldAt is the moment of the request, whose UTC day and month it counts in. The store sets it.
	HeldAt time.Time
	// Doubted: the row is older than the loss or restore of the database, and nobody has decided on it since. A warm environment may be
	// in use, an expired lease may have been extended, so bothy leaves it alone.
	Doubted bool
}

// Ready reports whether it is created and no work on it is recorded.
func (e *Environment) Ready() bool {
	return (e.State == Warm || e.State == Leased) && e.Work.Action == None
}

// ForPool reports whether it is created for a pool rather than for a request.
func (e *Environment) ForPool() bool { return e.Pool != "" && e.Tenant == "" }

// LeasedAt reports whether its holder has it at a time. A doubted lease has no end.
func (e *Environment) LeasedAt(at time.Time) bool {
	return e.State == Leased && (!e.Lease.Expired(at) || e.Doubted)
}

// Awaited reports whether its requester is waiting for it: it is queued, being created, or being handed over.
func (e *Environment) Awaited() bool {
	switch e.State {
	case Pending, Provisioning:
		return e.Tenant != "" // a member of a pool has no requester
	case Leased:
		return e.Work.Action == Personalise
	}
	return false
}

// Queue is the queue status of a request, and how long it waits at most.
type Queue struct {
	// Rank counts from 1; 0 when it does not wait.
	Rank int
	// Estimate is when it is expected to be ready, zero if unknown. First is the first estimate, kept to measure the accuracy of
	// estimates.
	Estimate, First time.Time
	// Until is when the request stops waiting; zero for never.
	Until time.Time
}

// BlueprintRef identifies the exact blueprint of an environment.
type BlueprintRef struct {
	Name, Version string
	// Digest is "sha256:" and 64 hex digits.
	Digest string
}

// String returns name@version.
func (b BlueprintRef) String() string { return b.Name + "@" + b.Version }

// Size is a named set of limits and its rate.
type Size struct {
	Name      string
	CPUs      float64
	MemoryMiB int64
	Pids      int64
	// RateMicros is the price of one hour in millionths of the currency.
	RateMicros int64
	// Currency is an ISO 4217 code.
	Currency string
}

// Lease is how long an environment is held. It begins at the handover, so a slow create costs the user no time.
type Lease struct {
	// TTL is the requested duration, capped by MaxTTL.
	TTL time.Duration
	// MaxTTL is the longest lifetime, extensions included, counted from Start.
	MaxTTL time.Duration
	// Start and End are zero until the handover.
	Start, End time.Time
	// Idle ends the lease after a time without use; 0 for never. ActiveAt is the last recorded use.
	Idle     time.Duration
	ActiveAt time.Time
	// Warned: its holder was warned that under 10 % is left.
	Warned bool
}

// Held reports whether the lease has begun.
func (l Lease) Held() bool { return !l.Start.IsZero() }

// Expired reports whether the lease has ended at now. A lease that has not begun does not expire.
func (l Lease) Expired(now time.Time) bool { return l.Held() && !now.Before(l.Ends()) }

// Ends is when the lease ends unless the environment is used or the lease extended: at End, or earlier when it is idle for too long.
func (l Lease) Ends() time.Time {
	if l.Idle > 0 && l.Held() {
		if idle := later(l.Start, l.ActiveAt).Add(l.Idle); idle.Before(l.End) {
			return idle
		}
	}
	return l.End
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Left is the time until the end; negative when overdue, TTL before the handover.
func (l Lease) Left(now time.Time) time.Duration {
	if !l.Held() {
		return l.TTL
	}
	return l.End.Sub(now)
}

// Warning reports whether under 10 % of the lease is left.
func (l Lease) Warning(now time.Time) bool {
	return l.Held() && l.Left(now)*10 < l.End.Sub(l.Start)
}

// ActionKind is what a worker is to do to an environment.
type ActionKind string

// The kinds of action. None means that no action is recorded.
const (
	None    ActionKind = ""
	Create  ActionKind = "create"
	Destroy ActionKind = "destroy"
	// Personalise hands a claimed environment over to its holder: probe, then secrets.
	Personalise ActionKind = "personalise"
)

// Work is the recorded action of an environment and its worker. The row is the work item: there is no separate queue.
type Work struct {
	Action ActionKind
	// Worker has the work until Until, renewed by heartbeat; empty when no worker has it.
	Worker string
	Until  time.Time
	// Generation rises each time the work is taken; a write with an older one is refused (fenced).
	Generation int64
	// Attempts counts failed tries of this action; NotBefore is the earliest time of the next.
	Attempts  int
	NotBefore time.Time
	// Deadline is when a transient state counts as stuck.
	Deadline time.Time
	// LastError is the last try's error, in one sentence.
	LastError string
}

// Failure is why an environment failed.
type Failure struct {
	// Code is one of the error codes.
	Code Code `json:"code"`
	// Sentence is the cause for people. Hint is what to do next; empty if the log says everything.
	Sentence string `json:"sentence"`
	Hint     string `json:"hint,omitempty"`
	// At is the time of the failure.
	At time.Time `json:"at"`
}

// Event is one entry of the append-only record of decisions.
type Event struct {
	// Seq orders the events of all environments.
	Seq int64
	At  time.Time
	// EnvironmentID, Pool and Host are its subject; any may be empty.
	EnvironmentID, Pool, Host string
	// Tenant, Team and User are its owner; all are empty for the platform's own events.
	Tenant, Team, User string
	// Kind is a stable dotted word: "environment.requested", "lease.extended", "create.progress", ...
	Kind string
	// Message is one sentence for people; code reads Data.
	Message string
	// Data is for code; empty for most kinds.
	Data EventData
	// Actor is the user or "bothyd".
	Actor string
}

// LogLine is one stored line of an environment's log; it outlives the environment.
type LogLine struct {
	Seq int64
	At  time.Time
	// Source is "bothy", "terraform" or "sandbox".
	Source string
	Text   string
}

// FirstUser is the user that an environment is handed over to; "" if none is known.
func (e *Environment) FirstUser() string {
	if len(e.Users) == 0 {
		return ""
	}
	return e.Users[0]
}
