package wire

import "time"

// CreateRequest asks for an environment. Send an Idempotency-Key header to make retries safe.
type CreateRequest struct {
	Blueprint string `json:"blueprint,omitempty" maxLength:"200" doc:"Name, or name@version; default: build" example:"build@1.0.0"`
	Size      string `json:"size,omitempty" maxLength:"100" doc:"One of the blueprint's sizes; default: the blueprint's default size" example:"small"`
	Name      string `json:"name,omitempty" maxLength:"63" doc:"Name; default: generated" example:"calm-otter"`
	// Team must be one of the caller's.
	Team string `json:"team,omitempty" maxLength:"100" doc:"Owning team; default: the caller's first" example:"core"`
	// Share is who may use and delete it beside the caller.
	Share       string         `json:"share,omitempty" enum:"nobody,team,tenant" doc:"Who besides the caller may use and delete it; default: the organisation's, otherwise the team" example:"team"`
	Project     string         `json:"project,omitempty" maxLength:"200" doc:"Project" example:"shop"`
	PullRequest string         `json:"pull_request,omitempty" maxLength:"200" doc:"Pull request" example:"17"`
	TTLSeconds  *int64         `json:"ttl_seconds,omitempty" doc:"Lease duration; default: the blueprint's" example:"3600"`
	IdleSeconds *int64         `json:"idle_seconds,omitempty" doc:"Idle time after which the lease expires; default: never" example:"900"`
	Inputs      map[string]any `json:"inputs,omitempty" maxProperties:"64" doc:"Inputs of the blueprint, by name"`

	Vars map[string]string `json:"vars,omitempty" maxProperties:"64" doc:"Variables for every command in the environment, not for secrets"`
	// Secrets never appear in an answer, a log or a record.
	Secrets map[string][]byte `json:"secrets,omitempty" maxProperties:"64" doc:"Secret files, by name; content in base64"`

	QueueTimeoutSeconds *int64 `json:"queue_timeout_seconds,omitempty" doc:"Maximum time to wait for capacity; default: no limit" example:"600"`
	NoQueue             bool   `json:"no_queue,omitempty" doc:"Fail instead of waiting for capacity"`
	NoPool              bool   `json:"no_pool,omitempty" doc:"Create a new environment even if a warm one exists"`
}

// Quote is what a request would get and cost; nothing was made.
type Quote struct {
	Blueprint  BlueprintRef `json:"blueprint" doc:"The exact blueprint"`
	Size       Size         `json:"size" doc:"Limits and current price"`
	TTLSeconds int64        `json:"ttl_seconds" doc:"Lease duration"`
	// CostMicros is in millionths of the size's currency.
	CostMicros int64      `json:"cost_micros" doc:"Price of the whole lease"`
	Warm       bool       `json:"warm" doc:"A warm environment is available now"`
	Cold       string     `json:"cold,omitempty" doc:"Why the start would be cold, in one sentence"`
	Rank       int        `json:"rank" doc:"Queue position; 0: the request would not wait"`
	ReadyAt    *time.Time `json:"ready_at,omitempty" doc:"ETA; absent if unknown"`
	// Refusal is why it would be refused.
	Refusal *Problem `json:"refusal,omitempty" doc:"Why bothyd would refuse the request; absent if it would admit it"`
}

// Why answers why an environment is waiting or broken.
type Why struct {
	Environment Environment `json:"environment" doc:"Current environment"`
	Cause       string      `json:"cause" doc:"One sentence"`
	Next        string      `json:"next,omitempty" doc:"Next step"`
	Rank        int         `json:"rank" doc:"Queue position; 0: the request does not wait"`
	ReadyAt     *time.Time  `json:"ready_at,omitempty" doc:"ETA; absent if unknown"`
	Estimates   Estimates   `json:"estimates" doc:"Accuracy of earlier estimates"`
	Events      []Event     `json:"events" doc:"Recent events, oldest first"`
}

// Estimates tells how good the queue's estimates have been, in seconds that the first one was off.
type Estimates struct {
	Count         int   `json:"count" doc:"Number of estimates"`
	MedianSeconds int64 `json:"median_seconds" doc:"Median error"`
	P90Seconds    int64 `json:"p90_seconds" doc:"90th percentile of the error"`
}
