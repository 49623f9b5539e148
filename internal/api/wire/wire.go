// Package wire holds the JSON types of bothy's API. Field names are stable:
// `--output json` prints these very types. It imports the standard library only.
package wire

import (
	"encoding/json"
	"time"
)

// Environment is one environment as its owner sees it.
type Environment struct {
	ID     string `json:"id" doc:"Random, never reused" example:"k3v9x2ab"`
	Name   string `json:"name" doc:"Unique among live environments" example:"calm-otter"`
	Tenant string `json:"tenant,omitempty" doc:"Tenant; absent while the environment is warm" example:"acme"`
	Team   string `json:"team,omitempty" doc:"Owning team" example:"core"`
	Owner  string `json:"owner" doc:"Owner" example:"ada"`
	// Share is empty while a pool keeps it.
	Share   string `json:"share,omitempty" enum:"nobody,team,tenant" doc:"Who besides the owner may use and delete it; absent while the environment is warm" example:"team"`
	MayUse  bool   `json:"may_use" doc:"Whether the caller may use and delete it; if not, inputs, vars and secrets are absent"`
	Project string `json:"project,omitempty" doc:"Project" example:"shop"`
	// PullRequest is a number, or a word of the forge's.
	PullRequest string `json:"pull_request,omitempty" doc:"Pull request" example:"17"`
	// Pool stays when it is claimed.
	Pool string `json:"pool,omitempty" doc:"Pool that created the environment" example:"builders"`
	// Claimed says that a warm one was taken, so that no Terraform ran for the request.
	Claimed bool   `json:"claimed" doc:"The environment was claimed from a pool"`
	Cold    string `json:"cold,omitempty" doc:"Why the start was cold, in one sentence"`
	Queue   *Queue `json:"queue,omitempty" doc:"Queue position; absent if the request does not wait"`
	Host    string `json:"host,omitempty" doc:"Host of the environment"`
	// DaemonAddress is left out of lists.
	DaemonAddress string         `json:"daemon_address,omitempty" doc:"Address of the daemon for commands, copies and logs; absent if it is this daemon"`
	Blueprint     BlueprintRef   `json:"blueprint" doc:"The exact blueprint"`
	Size          Size           `json:"size" doc:"Limits and price at admission"`
	Inputs        map[string]any `json:"inputs,omitempty" doc:"Inputs of the blueprint"`
	// Vars are shown to who may use the environment; they are no place for secrets.
	Vars      map[string]string `json:"vars,omitempty" doc:"Variables for every command in the environment"`
	Secrets   []string          `json:"secrets,omitempty" doc:"Names of the secret files"`
	Paused    bool              `json:"paused,omitempty" doc:"Frozen while it is warm"`
	State     string            `json:"state" enum:"pending,provisioning,warm,leased,failed,destroying,destroyed" doc:"State" example:"leased"`
	Reason    string            `json:"reason,omitempty" doc:"Why it is in this state, in one sentence"`
	Failure   *Failure          `json:"failure,omitempty" doc:"Cause of the failure, never removed"`
	Users     []string          `json:"users" doc:"Users for exec; default: the first"`
	Workspace string            `json:"workspace" doc:"Directory of the source" example:"/workspace"`
	// Source is left out of lists.
	Source    *Source   `json:"source,omitempty" doc:"Copy of the source to the workspace; absent in lists, before the hand-over, and if unknown"`
	Lease     Lease     `json:"lease" doc:"The lease"`
	Cost      Cost      `json:"cost" doc:"Cost so far and at expiry"`
	CreatedAt time.Time `json:"created_at" doc:"Time of the request"`
	// ReadyAt is when it was handed over.
	ReadyAt     *time.Time `json:"ready_at,omitempty" doc:"Time of the hand-over"`
	DestroyedAt *time.Time `json:"destroyed_at,omitempty" doc:"Time at which its deletion was verified"`
	// Usage is given where it is asked for.
	Usage *EnvironmentUsage `json:"usage,omitempty" doc:"Current usage of a leased environment, on request"`
	// Attempts counts tries of the present step that failed.
	Attempts int   `json:"attempts,omitempty" doc:"Failed attempts of the current step"`
	Revision int64 `json:"revision" doc:"Number of changes"`
}

// States of a Source.
const (
	SourceNone   = "none"
	SourceCopied = "copied"
)

// Source tells what was copied to a workspace.
type Source struct {
	State string     `json:"state" enum:"none,copied" doc:"none: neither up nor cp has copied anything to the workspace yet"`
	By    string     `json:"by,omitempty" maxLength:"256" doc:"User of the first copy"`
	At    *time.Time `json:"at,omitempty" doc:"When"`
}

// BlueprintRef names an exact blueprint.
type BlueprintRef struct {
	Name    string `json:"name" doc:"Name" example:"build"`
	Version string `json:"version" doc:"Version" example:"1.0.0"`
	Digest  string `json:"digest" doc:"SHA-256 of its content"`
}

// Size is a named set of limits with its price.
type Size struct {
	Name              string  `json:"name" doc:"Name" example:"small"`
	CPUs              float64 `json:"cpus" doc:"Cores" example:"1"`
	MemoryMiB         int64   `json:"memory_mib" doc:"Memory including swap, in MiB" example:"1024"`
	Pids              int64   `json:"pids" doc:"Maximum number of processes" example:"512"`
	RateMicrosPerHour int64   `json:"rate_micros_per_hour" doc:"Millionths of the currency unit" example:"10000"`
	Currency          string  `json:"currency" doc:"ISO 4217 code" example:"USD"`
}

// Lease tells until when an environment is held.
type Lease struct {
	TTLSeconds    int64      `json:"ttl_seconds" doc:"Requested duration" example:"3600"`
	MaxTTLSeconds int64      `json:"max_ttl_seconds" doc:"Maximum lifetime including extensions"`
	Start         *time.Time `json:"start,omitempty" doc:"Hand-over"`
	End           *time.Time `json:"end,omitempty" doc:"Expiry; absent before the hand-over"`
	LeftSeconds   int64      `json:"left_seconds" doc:"Time left; negative if overdue"`
	Warning       bool       `json:"warning" doc:"Less than 10 % is left"`
	// IdleSeconds ends the lease after a time without use.
	IdleSeconds int64      `json:"idle_seconds,omitempty" doc:"Idle time after which the lease expires; absent for never"`
	IdleEnd     *time.Time `json:"idle_end,omitempty" doc:"Expiry unless used; absent for never"`
}

// Queue is a place among those that wait for capacity.
type Queue struct {
	Rank     int        `json:"rank" doc:"From 1" example:"3"`
	Estimate *time.Time `json:"estimate,omitempty" doc:"ETA; absent if unknown"`
	Until    *time.Time `json:"until,omitempty" doc:"Timeout of the request; absent for none"`
}

// Cost in millionths of the currency's unit.
type Cost struct {
	Currency          string `json:"currency" doc:"ISO 4217 code" example:"USD"`
	RateMicrosPerHour int64  `json:"rate_micros_per_hour" doc:"Price of an hour" example:"10000"`
	AccruedMicros     int64  `json:"accrued_micros" doc:"Cost so far" example:"2500"`
	AtExpiryMicros    int64  `json:"at_expiry_micros" doc:"Cost if it runs until the lease expires"`
	HeldMicros        int64  `json:"held_micros" doc:"Money reserved from its budgets"`
}

// Failure tells why an environment failed.
type Failure struct {
	Code     string    `json:"code" doc:"Error code" example:"provision_failed"`
	Sentence string    `json:"sentence" doc:"The cause, in one sentence"`
	Hint     string    `json:"hint,omitempty" doc:"Next step"`
	At       time.Time `json:"at" doc:"When"`
}

// ExtendRequest moves the end of a lease.
type ExtendRequest struct {
	BySeconds int64 `json:"by_seconds" doc:"Time to add to the lease" example:"1800"`
}

// ShareRequest says who may use and delete an environment beside its owner.
type ShareRequest struct {
	With string `json:"with" enum:"nobody,team,tenant" doc:"Nobody, the environment's team, or the tenant" example:"team"`
}

// EnvironmentList is one page of environments.
type EnvironmentList struct {
	Environments []Environment `json:"environments" doc:"Newest first"`
	Next         string        `json:"next,omitempty" doc:"Cursor of the next page"`
}

// Event is one entry of the append-only record of every decision.
type Event struct {
	Seq         int64     `json:"seq" doc:"Number, increasing over all environments"`
	At          time.Time `json:"at" doc:"When"`
	Environment string    `json:"environment,omitempty" doc:"ID of the environment"`
	Pool        string    `json:"pool,omitempty" doc:"Pool of the event"`
	Host        string    `json:"host,omitempty" doc:"Host of the event"`
	Tenant      string    `json:"tenant,omitempty" doc:"Tenant; absent for events of the platform"`
	Team        string    `json:"team,omitempty" doc:"Team of its environment"`
	User        string    `json:"user,omitempty" doc:"User of its environment"`
	Kind        string    `json:"kind" doc:"Stable dotted word" example:"lease.extended"`
	Message     string    `json:"message" doc:"One sentence for people; programs use kind and data"`
	Actor       string    `json:"actor,omitempty" doc:"User, or bothyd"`
	// Data is kept as it was written, its version "v" included: a client does not know every kind.
	Data map[string]json.RawMessage `json:"data,omitempty" doc:"What the event tells programs: v is the version of its form for this kind, from 1; a later version may have other fields. resource.seen has kind, id, name and created_at of the resource, as its provider told them. Absent for most kinds, and for what was recorded by a bothyd without it"`
}

// EventList is a part of the record, oldest first.
type EventList struct {
	Events []Event `json:"events" doc:"Oldest first"`
}

// Update is one line of a watch (NDJSON): the environment as it is now, and
// the events since the line before.
type Update struct {
	Environment Environment `json:"environment" doc:"Current environment"`
	Events      []Event     `json:"events,omitempty" doc:"Events since the previous line"`
}

// LogLine is one line of a log (NDJSON).
type LogLine struct {
	At     time.Time `json:"at" doc:"When"`
	Source string    `json:"source" enum:"bothy,terraform,sandbox" doc:"Source of the line"`
	Text   string    `json:"text" doc:"The line without its newline"`
}

// StreamEnd is the last line of an NDJSON stream that had to end early.
type StreamEnd struct {
	Problem *Problem `json:"problem"`
}

// Blueprint describes a golden path.
type Blueprint struct {
	Name              string   `json:"name" doc:"Name"`
	Version           string   `json:"version" doc:"Version"`
	Digest            string   `json:"digest" doc:"SHA-256 of its content"`
	Description       string   `json:"description" doc:"One line"`
	Image             string   `json:"image" doc:"Reference of the sandbox image"`
	Users             []string `json:"users" doc:"Users for exec; default: the first"`
	Workspace         string   `json:"workspace" doc:"Directory of the source"`
	DefaultTTLSeconds int64    `json:"default_ttl_seconds" doc:"Default lease duration"`
	MaxTTLSeconds     int64    `json:"max_ttl_seconds" doc:"Maximum lifetime including extensions"`
	Sizes             []Size   `json:"sizes" doc:"Sizes"`
	DefaultSize       string   `json:"default_size" doc:"Default size"`
	Inputs            []Input  `json:"inputs" doc:"Inputs"`
	Trusted           bool     `json:"trusted,omitempty" doc:"Whether this digest may exceed the limits of a sandbox (trusted_blueprints)"`
}

// Input is one typed input of a blueprint.
type Input struct {
	Name        string   `json:"name" doc:"Name"`
	Type        string   `json:"type" enum:"string,integer,number,boolean" doc:"Type of its value"`
	Description string   `json:"description,omitempty" doc:"Project"`
	Default     any      `json:"default,omitempty" doc:"Default value"`
	Required    bool     `json:"required" doc:"Whether a value is required"`
	Enum        []any    `json:"enum,omitempty" doc:"Allowed values; absent for any"`
	Pattern     string   `json:"pattern,omitempty" doc:"Regular expression (RE2) that the whole string must match"`
	Min         *float64 `json:"min,omitempty" doc:"Minimum number, or minimum length of a string in bytes"`
	Max         *float64 `json:"max,omitempty" doc:"Maximum number, or maximum length of a string in bytes"`
}

// BlueprintList lists the blueprints.
type BlueprintList struct {
	Blueprints []Blueprint `json:"blueprints" doc:"Blueprints by name"`
}

// Check is one finding of doctor or readyz.
type Check struct {
	Name string `json:"name" doc:"Checks"`
	// Status is "ok", "warning" or "failed".
	Status  string `json:"status" enum:"ok,warning,failed" doc:"Result"`
	Message string `json:"message" doc:"One sentence"`
	Hint    string `json:"hint,omitempty" doc:"Next step"`
	// AgeSeconds is how long ago the daemon looked.
	AgeSeconds int64 `json:"age_seconds,omitempty" minimum:"0" doc:"Age of the result, in seconds"`
}

// Alive is the answer of healthz.
type Alive struct {
	Status string `json:"status" enum:"ok" doc:"Always ok"`
}

// Health is the answer of readyz and doctor.
type Health struct {
	Ready  bool    `json:"ready" doc:"No check failed"`
	Checks []Check `json:"checks" doc:"Checks"`
}

// Version tells what a daemon is.
type Version struct {
	Version  string `json:"version" doc:"Version of bothyd" example:"0.1.0"`
	Instance string `json:"instance" doc:"ID of this installation, in the labels of every resource"`
	// MaxCopyBytes bounds one copy into an environment, as a tar stream; 0 of a daemon that does not tell.
	MaxCopyBytes int64 `json:"max_copy_bytes,omitempty" doc:"Maximum size of a copy into an environment, in bytes of the tar stream"`
}

// Problem is an error (RFC 9457), with bothy's code and hint.
type Problem struct {
	Type   string `json:"type,omitempty" doc:"URI of the problem type; absent for about:blank"`
	Title  string `json:"title" doc:"Name of the status" example:"Conflict"`
	Status int    `json:"status" doc:"HTTP status" example:"409"`
	// Detail is one sentence for people.
	Detail string `json:"detail" doc:"One sentence for people" example:"the name calm-otter is taken"`
	Code   string `json:"code" doc:"Error code, for machines" example:"conflict"`
	Hint   string `json:"hint,omitempty" doc:"Next step" example:"choose another name"`
	// RetryAfter is in seconds, as in the header Retry-After, which an answer has that is no stream's last word.
	RetryAfter int `json:"retry_after_seconds,omitempty" doc:"Seconds to wait before a retry: the environment is not ready yet" example:"1"`
	// Errors lists the places of an invalid request.
	Errors []ProblemPlace `json:"errors,omitempty" doc:"Errors of an invalid request, with their places"`
	// Fields lists what Detail is about.
	Fields []ProblemField `json:"fields,omitempty" doc:"Values of the request that detail is about, in order; detail joins their messages with semicolons"`
}

// ProblemField is a value of a request that a problem is about.
type ProblemField struct {
	Field   string `json:"field,omitempty" doc:"Key path in the body of the request; absent for a remark on several" example:"inputs.shm_mib"`
	Message string `json:"message" doc:"Message in detail" example:"input shm_mib: got 1025, want an integer from 16 to 1024"`
	// Place is where a command read the value; a daemon knows no files of its clients.
	Place *FilePlace `json:"place,omitempty" doc:"Place of the value in a file; only in errors of the command line"`
}

// FilePlace is a place in a file of the user's.
type FilePlace struct {
	File   string `json:"file" doc:"Name of the file" example:"bothy.yaml"`
	Line   int    `json:"line" doc:"From 1"`
	Column int    `json:"column" doc:"In characters, from 1"`
	Path   string `json:"path,omitempty" doc:"Key path in the file; absent for the whole file" example:"params.shm_mib"`
}

// ProblemPlace is one wrong place in a request.
type ProblemPlace struct {
	Location string `json:"location" doc:"Where" example:"body.by_seconds"`
	Message  string `json:"message" doc:"The error" example:"expected integer"`
	Value    any    `json:"value,omitempty" doc:"The value found, if it is short"`
	// Place is the same place of a file, for programs.
	Place *FilePlace `json:"place,omitempty" doc:"Place in a file; only in errors of the command line"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Error gives the sentence: a Problem is an error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType gives the media type that a Problem is sent as, whatever was asked for.
func (p *Problem) ContentType(string) string { return ProblemType }
