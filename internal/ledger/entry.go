package ledger

import "time"

// The accounts. Every second of an environment's capacity is debited to exactly one of the first
// five and credited to AccountCapacity; what is held of a budget goes from AccountBudget to
// AccountHeld and back.
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

// Entry is one line of the append-only cost record: an amount that goes from one account (Credit) to another (Debit).
type Entry struct {
	// Seq orders entries over all environments.
	Seq           int64
	At            time.Time
	EnvironmentID string
	// Whose it was, what it was for, what it was made from and where it stood in that time.
	Tenant, Team, Owner, Project, PullRequest string
	Pool, Blueprint, Size, Host               string
	// Debit and Credit are accounts.
	Debit, Credit string
	// From and Until bound the time that is charged; both zero for what is held and given back.
	From, Until time.Time
	// RateMicros is the price of an hour at the time, AmountMicros what is charged, in millionths of Currency.
	RateMicros, AmountMicros int64
	Currency                 string
}
