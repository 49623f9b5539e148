package wire

import "time"

// RateRequest sets the price of a blueprint's size.
type RateRequest struct {
	MicrosPerHour int64      `json:"micros_per_hour" doc:"Millionths of the currency's unit" example:"10000"`
	Currency      string     `json:"currency,omitempty" maxLength:"3" doc:"ISO 4217 code; default: that of the size" example:"USD"`
	From          *time.Time `json:"from,omitempty" doc:"From when on it holds; default: now"`
}

// Rate is the price of a blueprint's size from a moment on.
type Rate struct {
	Blueprint     string    `json:"blueprint" doc:"Name of the blueprint" example:"build"`
	Size          string    `json:"size" doc:"Name of the size" example:"small"`
	From          time.Time `json:"from" doc:"From when on it holds"`
	MicrosPerHour int64     `json:"micros_per_hour" doc:"Millionths of the currency's unit"`
	Currency      string    `json:"currency" doc:"ISO 4217 code"`
	SetBy         string    `json:"set_by,omitempty" doc:"Who set it"`
}

// RateList lists the rates that were set; a size without one costs what its blueprint says.
type RateList struct {
	Rates []Rate `json:"rates" doc:"By blueprint, size and time"`
}

// CostReport is cost by group.
type CostReport struct {
	By    string     `json:"by" doc:"What it is grouped by"`
	Since *time.Time `json:"since,omitempty" doc:"What was before is left out"`
	Until *time.Time `json:"until,omitempty" doc:"What was after is left out"`
	Rows  []CostRow  `json:"rows" doc:"The dearest first; days in order"`
	Total CostRow    `json:"total" doc:"Their sum"`
}

// CostRow is one group, in millionths of the currency's unit.
type CostRow struct {
	Key                string `json:"key" doc:"The group; empty for what belongs to none"`
	Currency           string `json:"currency" doc:"ISO 4217 code"`
	LeasedMicros       int64  `json:"leased_micros" doc:"Handed over to people"`
	PoolMicros         int64  `json:"pool_micros" doc:"Kept warm"`
	ProvisioningMicros int64  `json:"provisioning_micros" doc:"Being made"`
	FailedMicros       int64  `json:"failed_micros" doc:"Failed, and not yet being removed"`
	DestroyingMicros   int64  `json:"destroying_micros" doc:"Being removed"`
	TotalMicros        int64  `json:"total_micros" doc:"All of these"`
	Seconds            int64  `json:"seconds" doc:"Time of all of these"`
}

// Receipt proves that everything an environment created is gone. Its hash covers the one before and the
// body; its signature covers the hash.
type Receipt struct {
	Seq         int64     `json:"seq" doc:"Counts receipts from 1, without gaps"`
	Environment string    `json:"environment_id" doc:"Id of the environment"`
	At          time.Time `json:"at" doc:"When it was made"`
	Body        []byte    `json:"body" doc:"The JSON text that was signed, byte for byte, in base64"`
	PrevHash    string    `json:"prev_hash" doc:"Hash of the receipt before; 64 zeros for the first"`
	Hash        string    `json:"hash" doc:"SHA-256 of the hash before and the body, in hex"`
	Signature   string    `json:"signature" doc:"Ed25519 over the hash's bytes, in base64"`
}

// ReceiptList is a part of the chain of receipts, in order.
type ReceiptList struct {
	Receipts []Receipt `json:"receipts" doc:"By number"`
}

// ReceiptKey is what receipts are verified with.
type ReceiptKey struct {
	Algorithm string `json:"algorithm" enum:"ed25519" doc:"How receipts are signed"`
	Key       []byte `json:"key" doc:"The public key, 32 bytes in base64"`
}

// Orphan exists at the provider with our label and is unknown to the store.
type Orphan struct {
	Host        string            `json:"host" doc:"Engine host that it is on"`
	Kind        string            `json:"kind" doc:"What it is" example:"container"`
	ID          string            `json:"id" doc:"The provider's id"`
	Name        string            `json:"name,omitempty" doc:"The provider's name"`
	Environment string            `json:"environment_id" doc:"Environment that its label names"`
	Labels      map[string]string `json:"labels,omitempty" doc:"As found; their authenticity was checked"`
	CreatedAt   *time.Time        `json:"created_at,omitempty" doc:"The provider's time"`
	FirstSeen   time.Time         `json:"first_seen" doc:"First sweep that found it"`
	LastSeen    time.Time         `json:"last_seen" doc:"Last sweep that found it"`
	Sightings   int               `json:"sightings" doc:"How many sweeps found it"`
}

// Doubt is an environment from before the database was lost or restored.
type Doubt struct {
	Environment string     `json:"environment_id" doc:"Its id"`
	Name        string     `json:"name" doc:"Its name, as recorded"`
	Tenant      string     `json:"tenant,omitempty" doc:"Whose it is, as recorded"`
	Owner       string     `json:"owner,omitempty" doc:"Who has it, as recorded"`
	Pool        string     `json:"pool,omitempty" doc:"Pool that it was made for"`
	Host        string     `json:"host,omitempty" doc:"Engine host that it runs on"`
	State       string     `json:"state" doc:"Its state, as recorded"`
	LeaseEnd    *time.Time `json:"lease_end,omitempty" doc:"When its lease ends, as recorded"`
	Known       string     `json:"known" doc:"What is known of it, in a sentence"`
}

// OrphanReport is what is unknown, and whether it is left alone.
type OrphanReport struct {
	Safe    bool     `json:"safe" doc:"Nothing is removed until somebody decides"`
	Reason  string   `json:"reason,omitempty" doc:"Why nothing is removed"`
	Orphans []Orphan `json:"orphans" doc:"By host and environment"`
	Doubted []Doubt  `json:"doubted,omitempty" doc:"Environments from before the database was lost or restored that nobody has decided on"`
}

// OrphanRequest decides on orphans.
type OrphanRequest struct {
	Environments []string `json:"environments,omitempty" maxItems:"1000" doc:"Ids of environments"`
	All          bool     `json:"all,omitempty" doc:"All that are listed; needed when no ids are given"`
}
