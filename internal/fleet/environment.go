// Package fleet holds bothy's nouns and the state machine of an environment.
// It does no input or output and imports the standard library only.
package fleet

import "time"

// Environment is one provisioned instance: a row from intent to tombstone.
// All times are UTC; a zero time means "not yet".
type Environment struct {
	// ID is random, never reused, and part of every resource's name.
	ID string
	// Name is what people type; unique among the live environments of a tenant.
	Name string
	// Tenant, Team and Owner (the user) say who asked; all empty while it is kept warm for a pool.
	Tenant, Team, Owner string
	// Share is who may use and delete it beside its owner; empty while it is kept warm for a pool.
	Share Share
	// Project (a repository's name) and PullRequest say what it is for; may be empty.
	Project, PullRequest string
	// IdempotencyKey of the request, unique for its owner; empty when none was given.
	IdempotencyKey string

	Blueprint BlueprintRef
	// Size is the name of one of the blueprint's sizes, with its limits as they were at admission.
	Size  Size
	Image string
	// Users are those that exec may take; the first is the default.
	Users []string
	// Workspace is the folder that source goes to.
	Workspace string
	// Inputs are the blueprint's inputs, checked: string, int64, float64 or bool.
	Inputs map[string]any

	// Pool is the name of the pool that it was made for; it stays when the environment is
	// claimed. Empty for one that was made for its request.
	Pool string
	// MatchKey says what a request must ask for to be given it; see MatchKey.
	MatchKey string
	// Host is the engine host it is placed on; empty until it is placed.
	Host string
	// Vars are variables of every command that runs inside.
	Vars map[string]string
	// SecretNames are the files in the secrets folder; what they hold is never in the row.
	SecretNames []string
	// Paused says that it is frozen while it is warm.
	Paused bool
	// Cold says why a request was not given a warm one; empty when it was, and for a pool's own.
	Cold string
	// Queue is about a request that waits for capacity.
	Queue Queue

	State State
	// Reason is why it is in this state, in one sentence for people; may be empty.
	Reason string
	// Failure is set when it failed, and stays.
	Failure *Failure
	// Revision counts writes to the row; a write against an older one is a conflict.
	Revision int64

	Lease Lease
	Work  Work

	// Network is the reserved network's name, written before it is used.
	Network string
	// SandboxID is what the runtime knows the sandbox by, StartedAt when it was started as far as is known: a later start is
	// a restart.
	SandboxID string
	StartedAt time.Time

	CreatedAt   time.Time
	UpdatedAt   time.Time
	ReadyAt     time.Time
	DestroyedAt time.Time
	// BilledFrom is when its first resource was created, BilledUntil when its last was seen gone, or was last seen before it
	// was removed; zero while it is there. A create that is tried again begins anew: BilledBefore is the time that was
	// between the two before. See ledger.Begin.
	BilledFrom   time.Time
	BilledUntil  time.Time
	BilledBefore time.Duration
	// BookedUntil is until when its time is in the ledger; what follows is still open.
	BookedUntil time.Time
	// HeldMicros and HeldFor are the money and the leased time that are held of its tenant's, team's and
	// user's limits until it is gone; who extends the lease raises them. Then what it has cost counts, and never more than this.
	HeldMicros int64
	HeldFor    time.Duration
	// HeldAt is the moment of the request: its UTC day and month are those that it counts in. The store sets it.
	HeldAt time.Time
	// Doubted says that the row is from before the database was lost or restored, and that nobody has decided on it since: what
	// it calls warm may be in use, what it calls over may have been extended. It is left as it is.
	Doubted bool
}

// Ready reports whether it is made and nobody works on it.
func (e *Environment) Ready() bool {
	return (e.State == Warm || e.State == Leased) && e.Work.Action == None
}

// ForPool reports whether it is made for a pool and not for a request.
func (e *Environment) ForPool() bool { return e.Pool != "" && e.Tenant == "" }

// LeasedAt reports whether it is its holder's at a time: the end of a lease is not believed where it is doubted.
func (e *Environment) LeasedAt(at time.Time) bool {
	return e.State == Leased && (!e.Lease.Expired(at) || e.Doubted)
}

// Awaited reports whether it is on its way to whoever asked for it: it waits, is being made, or is being handed over.
func (e *Environment) Awaited() bool {
	switch e.State {
	case Pending, Provisioning:
		return e.Tenant != "" // what a pool keeps is handed to nobody by itself
	case Leased:
		return e.Work.Action == Personalise
	}
	return false
}

// Queue is what a request that waits is told, and how long it is willing to wait.
type Queue struct {
	// Rank from 1; 0 when it does not wait.
	Rank int
	// Estimate is when it is expected to be ready, zero when that cannot be told; First is the
	// first estimate that was given, kept to learn how good estimates are.
	Estimate, First time.Time
	// Until is when the request gives up waiting; zero for never.
	Until time.Time
}

// BlueprintRef names the exact blueprint that an environment was made from.
type BlueprintRef struct {
	Name, Version string
	// Digest is "sha256:" and 64 hex digits.
	Digest string
}

// String gives name@version.
func (b BlueprintRef) String() string { return b.Name + "@" + b.Version }

// Size is a named set of limits and its price.
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

// Lease is until when an environment is held. It begins when the environment
// is handed over, so a slow create costs the user no time.
type Lease struct {
	// TTL as asked for, capped by MaxTTL.
	TTL time.Duration
	// MaxTTL is the longest lifetime, extensions included, counted from Start.
	MaxTTL time.Duration
	// Start and End are zero until the environment is handed over.
	Start, End time.Time
	// Idle ends the lease after a time without any use; 0 for never. ActiveAt is the last use that was noted.
	Idle     time.Duration
	ActiveAt time.Time
	// Warned says that its holder was told that under 10 % is left.
	Warned bool
}

// Held reports whether the lease has begun.
func (l Lease) Held() bool { return !l.Start.IsZero() }

// Expired reports whether the lease has ended at now. One that has not begun does not expire.
func (l Lease) Expired(now time.Time) bool { return l.Held() && !now.Before(l.Ends()) }

// Ends is when the lease ends unless it is used or extended: at End, or earlier when it is idle for too long.
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

// Left is the time until the end; negative when overdue, TTL when not begun.
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

// ActionKind is what the runner is to do to an environment.
type ActionKind string

// The kinds of action. None means that nothing is recorded.
const (
	None    ActionKind = ""
	Create  ActionKind = "create"
	Destroy ActionKind = "destroy"
	// Personalise makes a claimed environment its holder's: probe, then secrets.
	Personalise ActionKind = "personalise"
)

// Work is the recorded action of an environment and who does it: the row is
// the work item, there is no queue beside it.
type Work struct {
	Action ActionKind
	// Worker does it until Until (renewed by heartbeat); empty when nobody does.
	Worker string
	Until  time.Time
	// Generation rises each time work is taken up; a write by an older one is refused (fenced).
	Generation int64
	// Attempts counts failed tries of this action; NotBefore is the earliest next one.
	Attempts  int
	NotBefore time.Time
	// Deadline is when a transient state counts as stuck.
	Deadline time.Time
	// LastError is the last try's sentence.
	LastError string
}

// Failure tells why an environment failed.
type Failure struct {
	// Code is one of the error codes.
	Code Code `json:"code"`
	// Sentence is the cause for people; Hint the next thing to do, empty where the log tells all there is.
	Sentence string `json:"sentence"`
	Hint     string `json:"hint,omitempty"`
	// At is when.
	At time.Time `json:"at"`
}

// Event is one entry of the append-only record of every decision.
type Event struct {
	// Seq orders events over all environments.
	Seq int64
	At  time.Time
	// EnvironmentID, Pool and Host say what it is about; any may be empty.
	EnvironmentID, Pool, Host string
	// Tenant, Team and User say whose it is; all empty for the platform's own.
	Tenant, Team, User string
	// Kind is a stable dotted word: "environment.requested", "lease.extended", "create.progress", ...
	Kind string
	// Message is one sentence, for people: code reads Data.
	Message string
	// Data is what the event tells code; empty for most kinds.
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

// FirstUser is whom an environment is handed over to inside; "" where none is known.
func (e *Environment) FirstUser() string {
	if len(e.Users) == 0 {
		return ""
	}
	return e.Users[0]
}
