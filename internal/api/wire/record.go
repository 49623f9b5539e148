package wire

import "time"

// RateRequest sets the price of a blueprint's size.
type RateRequest struct {
	MicrosPerHour int64      `json:"micros_per_hour" doc:"Millionths of the currency unit" example:"10000"`
	Currency      string     `json:"currency,omitempty" maxLength:"3" doc:"ISO 4217 code; default: the currency of the size" example:"USD"`
	From          *time.Time `json:"from,omitempty" doc:"Time from which the price applies; default: now"`
}

// Rate is the price of a blueprint's size from a moment on.
type Rate struct {
	Blueprint     string    `json:"blueprint" doc:"Name of the blueprint" example:"build"`
	Size          string    `json:"size" doc:"Name of the size" example:"small"`
	From          time.Time `json:"from" doc:"Time from which the price applies"`
	MicrosPerHour int64     `json:"micros_per_hour" doc:"Millionths of the currency unit"`
	Currency      string    `json:"currency" doc:"ISO 4217 code"`
	SetBy         string    `json:"set_by,omitempty" doc:"User of the last update"`
}

// RateList lists the rates that were set; a size without one costs what its blueprint says.
type RateList struct {
	Rates []Rate `json:"rates" doc:"By blueprint, size and time"`
}

// CostReport is cost by group.
type CostReport struct {
	By    string     `json:"by" doc:"Grouping key"`
	Since *time.Time `json:"since,omitempty" doc:"Start of the period"`
	Until *time.Time `json:"until,omitempty" doc:"End of the period"`
	Rows  []CostRow  `json:"rows" doc:"Groups, highest first; days in order"`
	Total CostRow    `json:"total" doc:"Sum of all groups"`
}

// CostRow is one group, in millionths of the currency's unit.
type CostRow struct {
	Key                string `json:"key" doc:"The group; empty for environments without one"`
	Currency           string `json:"currency" doc:"ISO 4217 code"`
	LeasedMicros       int64  `json:"leased_micros" doc:"Cost while leased"`
	PoolMicros         int64  `json:"pool_micros" doc:"Cost while warm"`
	ProvisioningMicros int64  `json:"provisioning_micros" doc:"Cost of creation"`
	FailedMicros       int64  `json:"failed_micros" doc:"Cost after a failure, before deletion"`
	DestroyingMicros   int64  `json:"destroying_micros" doc:"Cost of deletion"`
	TotalMicros        int64  `json:"total_micros" doc:"Sum"`
	Seconds            int64  `json:"seconds" doc:"Duration of all of them, in seconds"`
}

// Receipt proves that everything an environment created is gone. Its hash covers the one before and the
// body; its signature covers the hash.
type Receipt struct {
	Seq         int64     `json:"seq" doc:"Number of the receipt, from 1 without gaps"`
	Environment string    `json:"environment_id" doc:"ID of the environment"`
	At          time.Time `json:"at" doc:"Time of the receipt"`
	Body        []byte    `json:"body" doc:"The signed JSON text, in base64"`
	PrevHash    string    `json:"prev_hash" doc:"Hash of the previous receipt; 64 zeros for the first"`
	Hash        string    `json:"hash" doc:"SHA-256 of the previous hash and the body, in hex"`
	Signature   string    `json:"signature" doc:"Ed25519 over the hash's bytes, in base64"`
}

// ReceiptList is a part of the chain of receipts, in order.
type ReceiptList struct {
	Receipts []Receipt `json:"receipts" doc:"By number"`
}

// ReceiptKey is what receipts are verified with.
type ReceiptKey struct {
	Algorithm string `json:"algorithm" enum:"ed25519" doc:"Signature algorithm"`
	Key       []byte `json:"key" doc:"The public key, 32 bytes in base64"`
}

// Orphan exists at the provider with our label and is unknown to the store.
type Orphan struct {
	Host        string            `json:"host" doc:"Host of the environment"`
	Kind        string            `json:"kind" doc:"Kind of resource" example:"container"`
	ID          string            `json:"id" doc:"ID at the provider"`
	Name        string            `json:"name,omitempty" doc:"Name at the provider"`
	Environment string            `json:"environment_id" doc:"Environment in its label"`
	Labels      map[string]string `json:"labels,omitempty" doc:"Labels, with verified MAC"`
	CreatedAt   *time.Time        `json:"created_at,omitempty" doc:"Time of creation at the provider"`
	FirstSeen   time.Time         `json:"first_seen" doc:"Time of the first sweep that found the resource"`
	LastSeen    time.Time         `json:"last_seen" doc:"Time of the last sweep that found the resource"`
	Sightings   int               `json:"sightings" doc:"Number of sweeps that found the resource"`
}

// Doubt is an environment from before the database was lost or restored.
type Doubt struct {
	Environment string     `json:"environment_id" doc:"ID of the environment"`
	Name        string     `json:"name" doc:"Recorded name"`
	Tenant      string     `json:"tenant,omitempty" doc:"Recorded tenant"`
	Owner       string     `json:"owner,omitempty" doc:"Recorded owner"`
	Pool        string     `json:"pool,omitempty" doc:"Pool that created the environment"`
	Host        string     `json:"host,omitempty" doc:"Host of the environment"`
	State       string     `json:"state" doc:"Recorded state"`
	LeaseEnd    *time.Time `json:"lease_end,omitempty" doc:"Recorded expiry"`
	Known       string     `json:"known" doc:"The evidence, in one sentence"`
}

// OrphanReport is what is unknown, and whether it is left alone.
type OrphanReport struct {
	Safe    bool     `json:"safe" doc:"Safe mode: bothy deletes nothing until you decide"`
	Reason  string   `json:"reason,omitempty" doc:"Why bothy is in safe mode"`
	Orphans []Orphan `json:"orphans" doc:"By host and environment"`
	Doubted []Doubt  `json:"doubted,omitempty" doc:"Undecided environments from before the database was lost or restored"`
}

// OrphanRequest decides on orphans.
type OrphanRequest struct {
	Environments []string `json:"environments,omitempty" maxItems:"1000" doc:"IDs of environments"`
	All          bool     `json:"all,omitempty" doc:"Every listed one; required without environments"`
}
