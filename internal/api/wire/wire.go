// Package wire holds the JSON types of bothy's API. Field names are stable:
// `--output json` prints these very types. It imports the standard library only.
package wire

import "time"

// Environment is one environment as its owner sees it.
type Environment struct {
	ID        string         `json:"id" doc:"Random, never reused"`
	Name      string         `json:"name" doc:"Unique among live environments"`
	Owner     string         `json:"owner" doc:"User who asked"`
	Project   string         `json:"project,omitempty" doc:"What it is for"`
	Blueprint BlueprintRef   `json:"blueprint"`
	Size      Size           `json:"size"`
	Inputs    map[string]any `json:"inputs,omitempty" doc:"The blueprint's inputs"`
	State     string         `json:"state" enum:"pending,provisioning,warm,leased,failed,destroying,destroyed"`
	Reason    string         `json:"reason,omitempty" doc:"Why it is in this state, in one sentence"`
	Failure   *Failure       `json:"failure,omitempty"`
	Users     []string       `json:"users" doc:"Users that exec may take, the first by default"`
	Workspace string         `json:"workspace" doc:"Folder that source goes to"`
	Lease     Lease          `json:"lease"`
	Cost      Cost           `json:"cost"`
	CreatedAt time.Time      `json:"created_at"`
	// ReadyAt is when it was handed over.
	ReadyAt     *time.Time `json:"ready_at,omitempty"`
	DestroyedAt *time.Time `json:"destroyed_at,omitempty"`
	// Attempts counts tries of the present step that failed.
	Attempts int   `json:"attempts,omitempty"`
	Revision int64 `json:"revision" doc:"Counts changes of this environment"`
}

// BlueprintRef names an exact blueprint.
type BlueprintRef struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest" doc:"sha256 of its content"`
}

// Size is a named set of limits with its price.
type Size struct {
	Name              string  `json:"name"`
	CPUs              float64 `json:"cpus" doc:"Cores"`
	MemoryMiB         int64   `json:"memory_mib"`
	Pids              int64   `json:"pids"`
	RateMicrosPerHour int64   `json:"rate_micros_per_hour" doc:"Millionths of the currency's unit"`
	Currency          string  `json:"currency"`
}

// Lease tells until when an environment is held.
type Lease struct {
	TTLSeconds    int64      `json:"ttl_seconds"`
	MaxTTLSeconds int64      `json:"max_ttl_seconds" doc:"Longest lifetime, extensions included"`
	Start         *time.Time `json:"start,omitempty" doc:"Hand-over"`
	End           *time.Time `json:"end,omitempty"`
	LeftSeconds   int64      `json:"left_seconds" doc:"Negative when overdue"`
	Warning       bool       `json:"warning" doc:"Under 10 % is left"`
}

// Cost in millionths of the currency's unit.
type Cost struct {
	Currency          string `json:"currency"`
	RateMicrosPerHour int64  `json:"rate_micros_per_hour"`
	AccruedMicros     int64  `json:"accrued_micros"`
	AtExpiryMicros    int64  `json:"at_expiry_micros" doc:"If it runs to the end of its lease"`
}

// Failure tells why an environment failed.
type Failure struct {
	Code     string    `json:"code"`
	Sentence string    `json:"sentence"`
	Hint     string    `json:"hint,omitempty"`
	At       time.Time `json:"at"`
}

// CreateRequest asks for an environment. Send an Idempotency-Key header to make retries safe.
type CreateRequest struct {
	Blueprint  string         `json:"blueprint,omitempty" doc:"Name, or name@version; default: build"`
	Size       string         `json:"size,omitempty"`
	Name       string         `json:"name,omitempty" doc:"Made up when empty"`
	Project    string         `json:"project,omitempty"`
	TTLSeconds *int64         `json:"ttl_seconds,omitempty" doc:"Default: the blueprint's"`
	Inputs     map[string]any `json:"inputs,omitempty"`
}

// ExtendRequest moves the end of a lease.
type ExtendRequest struct {
	BySeconds int64 `json:"by_seconds" doc:"Added to the present end"`
}

// EnvironmentList is one page of environments.
type EnvironmentList struct {
	Environments []Environment `json:"environments"`
	Next         string        `json:"next,omitempty" doc:"Cursor of the next page"`
}

// Event is one entry of an environment's append-only record.
type Event struct {
	Seq         int64     `json:"seq"`
	At          time.Time `json:"at"`
	Environment string    `json:"environment,omitempty"`
	Kind        string    `json:"kind"`
	Message     string    `json:"message"`
	Actor       string    `json:"actor,omitempty"`
}

// Update is one line of a watch (NDJSON): the environment as it is now, and
// the events since the line before.
type Update struct {
	Environment Environment `json:"environment"`
	Events      []Event     `json:"events,omitempty"`
}

// LogLine is one line of a log (NDJSON).
type LogLine struct {
	At     time.Time `json:"at"`
	Source string    `json:"source" enum:"bothy,terraform,sandbox"`
	Text   string    `json:"text"`
}

// Blueprint describes a golden path.
type Blueprint struct {
	Name              string   `json:"name"`
	Version           string   `json:"version"`
	Digest            string   `json:"digest"`
	Description       string   `json:"description"`
	Image             string   `json:"image"`
	Users             []string `json:"users"`
	Workspace         string   `json:"workspace"`
	DefaultTTLSeconds int64    `json:"default_ttl_seconds"`
	MaxTTLSeconds     int64    `json:"max_ttl_seconds"`
	Sizes             []Size   `json:"sizes"`
	DefaultSize       string   `json:"default_size"`
	Inputs            []Input  `json:"inputs"`
}

// Input is one typed input of a blueprint.
type Input struct {
	Name        string   `json:"name"`
	Type        string   `json:"type" enum:"string,integer,number,boolean"`
	Description string   `json:"description,omitempty"`
	Default     any      `json:"default,omitempty"`
	Required    bool     `json:"required"`
	Enum        []any    `json:"enum,omitempty"`
	Pattern     string   `json:"pattern,omitempty"`
	Min         *float64 `json:"min,omitempty"`
	Max         *float64 `json:"max,omitempty"`
}

// BlueprintList lists the blueprints.
type BlueprintList struct {
	Blueprints []Blueprint `json:"blueprints"`
}

// Check is one finding of doctor or readyz.
type Check struct {
	Name string `json:"name"`
	// Status is "ok", "warning" or "failed".
	Status  string `json:"status" enum:"ok,warning,failed"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Health is the answer of readyz and doctor.
type Health struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
}

// Version tells what a daemon is.
type Version struct {
	Version  string `json:"version"`
	Instance string `json:"instance" doc:"Id of this installation, in the labels of all it creates"`
}

// Problem is an error (RFC 9457), with bothy's code and hint.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is one sentence for people.
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Hint   string `json:"hint,omitempty"`
	// Errors lists the places of an invalid request.
	Errors []ProblemPlace `json:"errors,omitempty"`
}

// ProblemPlace is one wrong place in a request.
type ProblemPlace struct {
	Location string `json:"location"`
	Message  string `json:"message"`
	Value    any    `json:"value,omitempty"`
}
