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
	Tenant string `json:"tenant,omitempty" doc:"Whose it is; absent while a pool keeps it warm" example:"acme"`
	Team   string `json:"team,omitempty" doc:"Team that it was asked for" example:"core"`
	Owner  string `json:"owner" doc:"User who asked" example:"ada"`
	// Share is empty while a pool keeps it.
	Share   string `json:"share,omitempty" enum:"nobody,team,tenant" doc:"Who may use and delete it beside its owner; absent while a pool keeps it warm" example:"team"`
	MayUse  bool   `json:"may_use" doc:"Whether the caller may use and delete it; without, inputs, vars and secrets are left out"`
	Project string `json:"project,omitempty" doc:"What it is for" example:"shop"`
	// PullRequest is a number, or a word of the forge's.
	PullRequest string `json:"pull_request,omitempty" doc:"Pull request that it is for" example:"17"`
	// Pool stays when it is claimed.
	Pool string `json:"pool,omitempty" doc:"Pool that it was made for" example:"builders"`
	// Claimed says that a warm one was taken, so that no Terraform ran for the request.
	Claimed bool   `json:"claimed" doc:"It was kept warm by a pool, and was taken"`
	Cold    string `json:"cold,omitempty" doc:"Why no warm one was taken, in one sentence"`
	Queue   *Queue `json:"queue,omitempty" doc:"Its place among those that wait for capacity; absent when it does not wait"`
	Host    string `json:"host,omitempty" doc:"Engine host that it is on"`
	// DaemonAddress is left out of lists.
	DaemonAddress string         `json:"daemon_address,omitempty" doc:"Address of the daemon that commands, copies and logs are to be asked of; absent when the one that was asked can do it"`
	Blueprint     BlueprintRef   `json:"blueprint" doc:"The exact blueprint it was made from"`
	Size          Size           `json:"size" doc:"Its limits and price, as they were at admission"`
	Inputs        map[string]any `json:"inputs,omitempty" doc:"The blueprint's inputs"`
	// Vars are shown to who may use the environment; they are no place for secrets.
	Vars      map[string]string `json:"vars,omitempty" doc:"Variables of every command inside"`
	Secrets   []string          `json:"secrets,omitempty" doc:"Names of the files in the secrets folder"`
	Paused    bool              `json:"paused,omitempty" doc:"Frozen while it is warm"`
	State     string            `json:"state" enum:"pending,provisioning,warm,leased,failed,destroying,destroyed" doc:"Where it is in its life" example:"leased"`
	Reason    string            `json:"reason,omitempty" doc:"Why it is in this state, in one sentence"`
	Failure   *Failure          `json:"failure,omitempty" doc:"Why it failed; stays"`
	Users     []string          `json:"users" doc:"Users that exec may take, the first by default"`
	Workspace string            `json:"workspace" doc:"Folder that source goes to" example:"/workspace"`
	// Source is left out of lists.
	Source    *Source   `json:"source,omitempty" doc:"What was copied to the workspace; absent in lists, before the hand-over, and when it cannot be told"`
	Lease     Lease     `json:"lease" doc:"Until when it is held"`
	Cost      Cost      `json:"cost" doc:"What it has cost and will cost"`
	CreatedAt time.Time `json:"created_at" doc:"When it was asked for"`
	// ReadyAt is when it was handed over.
	ReadyAt     *time.Time `json:"ready_at,omitempty" doc:"When it was handed over"`
	DestroyedAt *time.Time `json:"destroyed_at,omitempty" doc:"When nothing of it was left"`
	// Usage is given where it is asked for.
	Usage *EnvironmentUsage `json:"usage,omitempty" doc:"What it uses now; of one that is leased, when it was asked for"`
	// Attempts counts tries of the present step that failed.
	Attempts int   `json:"attempts,omitempty" doc:"Tries of the present step that failed"`
	Revision int64 `json:"revision" doc:"Counts changes of this environment"`
}

// States of a Source.
const (
	SourceNone   = "none"
	SourceCopied = "copied"
)

// Source tells what was copied to a workspace.
type Source struct {
	State string     `json:"state" enum:"none,copied" doc:"none: nobody copied anything to the workspace yet, neither up nor cp"`
	By    string     `json:"by,omitempty" maxLength:"256" doc:"Who copied first"`
	At    *time.Time `json:"at,omitempty" doc:"When"`
}

// BlueprintRef names an exact blueprint.
type BlueprintRef struct {
	Name    string `json:"name" doc:"Name" example:"build"`
	Version string `json:"version" doc:"Version" example:"1.0.0"`
	Digest  string `json:"digest" doc:"sha256 of its content"`
}

// Size is a named set of limits with its price.
type Size struct {
	Name              string  `json:"name" doc:"Name" example:"small"`
	CPUs              float64 `json:"cpus" doc:"Cores" example:"1"`
	MemoryMiB         int64   `json:"memory_mib" doc:"Memory, swap included, in MiB" example:"1024"`
	Pids              int64   `json:"pids" doc:"Most processes at once" example:"512"`
	RateMicrosPerHour int64   `json:"rate_micros_per_hour" doc:"Millionths of the currency's unit" example:"10000"`
	Currency          string  `json:"currency" doc:"ISO 4217 code" example:"USD"`
}

// Lease tells until when an environment is held.
type Lease struct {
	TTLSeconds    int64      `json:"ttl_seconds" doc:"Length asked for" example:"3600"`
	MaxTTLSeconds int64      `json:"max_ttl_seconds" doc:"Longest lifetime, extensions included"`
	Start         *time.Time `json:"start,omitempty" doc:"Hand-over"`
	End           *time.Time `json:"end,omitempty" doc:"When it ends; absent before hand-over"`
	LeftSeconds   int64      `json:"left_seconds" doc:"Negative when overdue"`
	Warning       bool       `json:"warning" doc:"Under 10 % is left"`
	// IdleSeconds ends the lease after a time without use.
	IdleSeconds int64      `json:"idle_seconds,omitempty" doc:"Ends after so long without use; absent for never"`
	IdleEnd     *time.Time `json:"idle_end,omitempty" doc:"When it ends unless it is used; absent for never"`
}

// Queue is a place among those that wait for capacity.
type Queue struct {
	Rank     int        `json:"rank" doc:"From 1" example:"3"`
	Estimate *time.Time `json:"estimate,omitempty" doc:"When it is expected to be ready; absent when that cannot be told"`
	Until    *time.Time `json:"until,omitempty" doc:"When the request gives up; absent for never"`
}

// Cost in millionths of the currency's unit.
type Cost struct {
	Currency          string `json:"currency" doc:"ISO 4217 code" example:"USD"`
	RateMicrosPerHour int64  `json:"rate_micros_per_hour" doc:"Price of an hour" example:"10000"`
	AccruedMicros     int64  `json:"accrued_micros" doc:"Cost so far" example:"2500"`
	AtExpiryMicros    int64  `json:"at_expiry_micros" doc:"If it runs to the end of its lease"`
	HeldMicros        int64  `json:"held_micros" doc:"What is held of its budgets until it is settled"`
}

// Failure tells why an environment failed.
type Failure struct {
	Code     string    `json:"code" doc:"Error code" example:"provision_failed"`
	Sentence string    `json:"sentence" doc:"The cause, in one sentence"`
	Hint     string    `json:"hint,omitempty" doc:"The next thing to do"`
	At       time.Time `json:"at" doc:"When"`
}

// ExtendRequest moves the end of a lease.
type ExtendRequest struct {
	BySeconds int64 `json:"by_seconds" doc:"Added to the present end" example:"1800"`
}

// ShareRequest says who may use and delete an environment beside its owner.
type ShareRequest struct {
	With string `json:"with" enum:"nobody,team,tenant" doc:"Nobody, the team that it was asked for, or the tenant" example:"team"`
}

// EnvironmentList is one page of environments.
type EnvironmentList struct {
	Environments []Environment `json:"environments" doc:"Newest first"`
	Next         string        `json:"next,omitempty" doc:"Cursor of the next page"`
}

// Event is one entry of the append-only record of every decision.
type Event struct {
	Seq         int64     `json:"seq" doc:"Number, rising over all environments"`
	At          time.Time `json:"at" doc:"When"`
	Environment string    `json:"environment,omitempty" doc:"Id of the environment"`
	Pool        string    `json:"pool,omitempty" doc:"Pool that it is about"`
	Host        string    `json:"host,omitempty" doc:"Engine host that it is about"`
	Tenant      string    `json:"tenant,omitempty" doc:"Whose it is; absent for the platform's own"`
	Team        string    `json:"team,omitempty" doc:"Team of its environment"`
	User        string    `json:"user,omitempty" doc:"User of its environment"`
	Kind        string    `json:"kind" doc:"Stable dotted word" example:"lease.extended"`
	Message     string    `json:"message" doc:"One sentence for people; programs read kind and data"`
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
	Environment Environment `json:"environment" doc:"As it is now"`
	Events      []Event     `json:"events,omitempty" doc:"What happened since the line before"`
}

// LogLine is one line of a log (NDJSON).
type LogLine struct {
	At     time.Time `json:"at" doc:"When"`
	Source string    `json:"source" enum:"bothy,terraform,sandbox" doc:"Who wrote it"`
	Text   string    `json:"text" doc:"The line, without its end"`
}

// StreamEnd is the last line of an NDJSON stream that had to end early.
type StreamEnd struct {
	Problem *Problem `json:"problem"`
}

// Blueprint describes a golden path.
type Blueprint struct {
	Name              string   `json:"name" doc:"Name"`
	Version           string   `json:"version" doc:"Version"`
	Digest            string   `json:"digest" doc:"sha256 of its content"`
	Description       string   `json:"description" doc:"One line"`
	Image             string   `json:"image" doc:"Reference of the sandbox image"`
	Users             []string `json:"users" doc:"Users that exec may take, the first by default"`
	Workspace         string   `json:"workspace" doc:"Folder that source goes to"`
	DefaultTTLSeconds int64    `json:"default_ttl_seconds" doc:"Lease when none is asked for"`
	MaxTTLSeconds     int64    `json:"max_ttl_seconds" doc:"Longest lifetime, extensions included"`
	Sizes             []Size   `json:"sizes" doc:"Sizes to choose from"`
	DefaultSize       string   `json:"default_size" doc:"Size when none is asked for"`
	Inputs            []Input  `json:"inputs" doc:"Inputs that a request may give"`
	Trusted           bool     `json:"trusted,omitempty" doc:"Whether the platform lets this digest go beyond the bounds of a sandbox (trusted_blueprints)"`
}

// Input is one typed input of a blueprint.
type Input struct {
	Name        string   `json:"name" doc:"Name"`
	Type        string   `json:"type" enum:"string,integer,number,boolean" doc:"Type of its value"`
	Description string   `json:"description,omitempty" doc:"What it is for"`
	Default     any      `json:"default,omitempty" doc:"Value when none is given"`
	Required    bool     `json:"required" doc:"Whether a value must be given"`
	Enum        []any    `json:"enum,omitempty" doc:"The allowed values; any when absent"`
	Pattern     string   `json:"pattern,omitempty" doc:"Regular expression (RE2) that a string must match whole"`
	Min         *float64 `json:"min,omitempty" doc:"Least number, or shortest string in bytes"`
	Max         *float64 `json:"max,omitempty" doc:"Greatest number, or longest string in bytes"`
}

// BlueprintList lists the blueprints.
type BlueprintList struct {
	Blueprints []Blueprint `json:"blueprints" doc:"All on offer, by name"`
}

// Check is one finding of doctor or readyz.
type Check struct {
	Name string `json:"name" doc:"What was looked at"`
	// Status is "ok", "warning" or "failed".
	Status  string `json:"status" enum:"ok,warning,failed" doc:"How it is"`
	Message string `json:"message" doc:"One sentence"`
	Hint    string `json:"hint,omitempty" doc:"The next thing to do"`
	// AgeSeconds is how long ago the daemon looked.
	AgeSeconds int64 `json:"age_seconds,omitempty" minimum:"0" doc:"Seconds since the daemon looked"`
}

// Alive is the answer of healthz.
type Alive struct {
	Status string `json:"status" enum:"ok" doc:"Always ok"`
}

// Health is the answer of readyz and doctor.
type Health struct {
	Ready  bool    `json:"ready" doc:"No check has failed"`
	Checks []Check `json:"checks" doc:"What was looked at"`
}

// Version tells what a daemon is.
type Version struct {
	Version  string `json:"version" doc:"Version of bothyd" example:"0.1.0"`
	Instance string `json:"instance" doc:"Id of this installation, in the labels of all it creates"`
	// MaxCopyBytes bounds one copy into an environment, as a tar stream; 0 of a daemon that does not tell.
	MaxCopyBytes int64 `json:"max_copy_bytes,omitempty" doc:"Largest copy into an environment, in bytes of the tar stream"`
}

// Problem is an error (RFC 9457), with bothy's code and hint.
type Problem struct {
	Type   string `json:"type,omitempty" doc:"URI of the problem type; absent for about:blank"`
	Title  string `json:"title" doc:"The status in words" example:"Conflict"`
	Status int    `json:"status" doc:"HTTP status" example:"409"`
	// Detail is one sentence for people.
	Detail string `json:"detail" doc:"One sentence for people" example:"the name calm-otter is taken"`
	Code   string `json:"code" doc:"Error code, for machines" example:"conflict"`
	Hint   string `json:"hint,omitempty" doc:"The next thing to do" example:"choose another name"`
	// RetryAfter is in seconds, as in the header Retry-After, which an answer has that is no stream's last word.
	RetryAfter int `json:"retry_after_seconds,omitempty" doc:"When to try again, in seconds: it is not ready yet" example:"1"`
	// Errors lists the places of an invalid request.
	Errors []ProblemPlace `json:"errors,omitempty" doc:"Places of an invalid request"`
	// Fields lists what Detail is about.
	Fields []ProblemField `json:"fields,omitempty" doc:"Values of the request that detail is about, in its order; detail is their messages, joined by semicolons"`
}

// ProblemField is a value of a request that a problem is about.
type ProblemField struct {
	Field   string `json:"field,omitempty" doc:"Key path in the request's body; absent for a remark on several" example:"inputs.shm_mib"`
	Message string `json:"message" doc:"What detail says of it" example:"input shm_mib: got 1025, want an integer from 16 to 1024"`
	// Place is where a command read the value; a daemon knows no files of its clients.
	Place *FilePlace `json:"place,omitempty" doc:"Where the value stands in a file; only in the errors of commands"`
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
	Message  string `json:"message" doc:"What is wrong" example:"expected integer"`
	Value    any    `json:"value,omitempty" doc:"What was found, when it is short"`
	// Place is the same place of a file, for programs.
	Place *FilePlace `json:"place,omitempty" doc:"The place in a file; only in the errors of commands"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Error gives the sentence: a Problem is an error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType gives the media type that a Problem is sent as, whatever was asked for.
func (p *Problem) ContentType(string) string { return ProblemType }
