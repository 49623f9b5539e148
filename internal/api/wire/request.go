package wire

import "time"

// CreateRequest asks for an environment. Send an Idempotency-Key header to make retries safe.
type CreateRequest struct {
	Blueprint string `json:"blueprint,omitempty" maxLength:"200" doc:"Name, or name@version; default: build" example:"build@1.0.0"`
	Size      string `json:"size,omitempty" maxLength:"100" doc:"One of the blueprint's sizes; its default when empty" example:"small"`
	Name      string `json:"name,omitempty" maxLength:"63" doc:"Made up when empty" example:"calm-otter"`
	// Team must be one of the caller's.
	Team string `json:"team,omitempty" maxLength:"100" doc:"Team to ask for; default: the caller's first" example:"core"`
	// Share is who may use and delete it beside the caller.
	Share       string         `json:"share,omitempty" enum:"nobody,team,tenant" doc:"Who may use and delete it beside the caller; default: the organisation's, which is the team unless it says otherwise" example:"team"`
	Project     string         `json:"project,omitempty" maxLength:"200" doc:"What it is for" example:"shop"`
	PullRequest string         `json:"pull_request,omitempty" maxLength:"200" doc:"Pull request that it is for" example:"17"`
	TTLSeconds  *int64         `json:"ttl_seconds,omitempty" doc:"Default: the blueprint's" example:"3600"`
	IdleSeconds *int64         `json:"idle_seconds,omitempty" doc:"End the lease after so long without use; default: never" example:"900"`
	Inputs      map[string]any `json:"inputs,omitempty" maxProperties:"64" doc:"The blueprint's inputs, by name"`

	Vars map[string]string `json:"vars,omitempty" maxProperties:"64" doc:"Variables of every command inside; no place for secrets"`
	// Secrets never appear in an answer, a log or a record.
	Secrets map[string][]byte `json:"secrets,omitempty" maxProperties:"64" doc:"Files of the secrets folder, by name; contents in base64"`

	QueueTimeoutSeconds *int64 `json:"queue_timeout_seconds,omitempty" doc:"Give up after waiting so long for capacity; default: never" example:"600"`
	NoQueue             bool   `json:"no_queue,omitempty" doc:"Refuse rather than wait for capacity"`
	NoPool              bool   `json:"no_pool,omitempty" doc:"Make a new one even if a warm one is there"`
}

// Quote is what a request would get and cost; nothing was made.
type Quote struct {
	Blueprint  BlueprintRef `json:"blueprint" doc:"The exact blueprint"`
	Size       Size         `json:"size" doc:"Limits and the price that holds now"`
	TTLSeconds int64        `json:"ttl_seconds" doc:"Length of the lease"`
	// CostMicros is in millionths of the size's currency.
	CostMicros int64      `json:"cost_micros" doc:"Price of the whole lease"`
	Warm       bool       `json:"warm" doc:"A warm one is there for it now"`
	Cold       string     `json:"cold,omitempty" doc:"Why no warm one is there, in one sentence"`
	Rank       int        `json:"rank" doc:"Place among those that wait for capacity; 0: it would not wait"`
	ReadyAt    *time.Time `json:"ready_at,omitempty" doc:"When it would be ready; absent when that cannot be told"`
	// Refusal is why it would be refused.
	Refusal *Problem `json:"refusal,omitempty" doc:"Why it would be refused; absent when it would be admitted"`
}

// Why answers why an environment is waiting or broken.
type Why struct {
	Environment Environment `json:"environment" doc:"As it is now"`
	Cause       string      `json:"cause" doc:"One sentence"`
	Next        string      `json:"next,omitempty" doc:"The next thing to do"`
	Rank        int         `json:"rank" doc:"Place among those that wait for capacity; 0: it does not wait"`
	ReadyAt     *time.Time  `json:"ready_at,omitempty" doc:"When it is expected to be ready; absent when that cannot be told"`
	Estimates   Estimates   `json:"estimates" doc:"How good such estimates have been"`
	Events      []Event     `json:"events" doc:"The newest of its record, oldest first"`
}

// Estimates tells how good the queue's estimates have been, in seconds that the first one was off.
type Estimates struct {
	Count         int   `json:"count" doc:"Requests that waited and became ready"`
	MedianSeconds int64 `json:"median_seconds" doc:"Half were off by no more"`
	P90Seconds    int64 `json:"p90_seconds" doc:"Nine of ten were off by no more"`
}
