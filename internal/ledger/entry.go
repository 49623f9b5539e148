package ledger

import "time"

// The accounts. Every second of an environment's capacity is debited to exactly one of the first five and credited to AccountCapacity;
// amounts held from a budget go from AccountBudget to AccountHeld and back.
const (
	AccountLeased       = "leased"
	AccountPool         = "pool"
	AccountProvisioning = "provisioning"
	AccountFailed       = "failed"
	AccountDestroying   = "destroying"
	AccountCapacity     = "capacity"
	AccountHeld         = "held"
	AccountBudget       = "budget"
)

// Entry is one line of the append-only cost record: an amount from one account (Credit) to another (Debit).
type Entry struct {
	// Seq orders the entries of all environments.
	Seq           int64
	At            time.Time
	EnvironmentID string
	// The owner, purpose, blueprint and host of the environment at that time.
	Tenant, Team, Owner, Project, PullRequest string
	Pool, Blueprint, Size, Host               string
	// Debit and Credit are accounts.
	Debit, Credit string
	// From and Until bound the charged time; both are zero for amounts held and released.
	From, Until time.Time
	// RateMicros is the hourly price at the time, AmountMicros the charge, in millionths of Currency.
	RateMicros, AmountMicros int64
	Currency                 string
}
