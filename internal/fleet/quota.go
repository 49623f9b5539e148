package fleet

import "time"

// Scope is what a limit applies to: a tenant, one of its teams, or one of its users.
type Scope struct {
	// Kind is "tenant", "team" or "user".
	Kind   string
	Tenant string
	// Name of the team or user; empty for a tenant.
	Name string
}

// The kinds of scope.
const (
	ScopeTenant = "tenant"
	ScopeTeam   = "team"
	ScopeUser   = "user"
)

// String returns the scope as people write it: tenant, tenant/team/x or tenant/user/x.
func (s Scope) String() string {
	if s.Kind == ScopeTenant {
		return s.Tenant
	}
	return s.Tenant + "/" + s.Kind + "/" + s.Name
}

// Scopes are the scopes in which an environment counts, the widest first; none without a tenant.
func (e *Environment) Scopes() []Scope {
	if e.Tenant == "" {
		return nil
	}
	return []Scope{
		{Kind: ScopeTenant, Tenant: e.Tenant},
		{Kind: ScopeTeam, Tenant: e.Tenant, Name: e.Team},
		{Kind: ScopeUser, Tenant: e.Tenant, Name: e.Owner},
	}
}

// Limits of a scope. A nil pointer or an empty list means no limit.
type Limits struct {
	// Environments, MilliCPUs and MemoryMiB bound what exists at once, until it is proven gone.
	Environments *int64 `json:"environments,omitempty"`
	MilliCPUs    *int64 `json:"milli_cpus,omitempty"`
	MemoryMiB    *int64 `json:"memory_mib,omitempty"`
	// SecondsPerDay bounds the leased time of a UTC day, in environment-seconds.
	SecondsPerDay *int64 `json:"seconds_per_day,omitempty"`
	// MicrosPerDay and MicrosPerMonth bound money, in millionths of the currency's unit.
	MicrosPerDay   *int64 `json:"micros_per_day,omitempty"`
	MicrosPerMonth *int64 `json:"micros_per_month,omitempty"`
	// MaxTTL bounds a lease, extensions included.
	MaxTTL *time.Duration `json:"max_ttl,omitempty"`
	// Blueprints (by name) and Sizes are the allowed ones.
	Blueprints []string `json:"blueprints,omitempty"`
	Sizes      []string `json:"sizes,omitempty"`
}

// Quota is the limits of one scope.
type Quota struct {
	Scope     Scope
	Limits    Limits
	UpdatedAt time.Time
	UpdatedBy string
}

// Spent is what a user's destroyed environments count for in a scope's limits of a period.
type Spent struct {
	Owner string
	// Micros is money in millionths, Time the leased time.
	Micros int64
	Time   time.Duration
}

// Usage is the current usage of a scope: everything that is not proven gone counts. Time and money are those of the UTC day and month,
// including the amounts held for running leases.
type Usage struct {
	Environments, MilliCPUs, MemoryMiB int64
	SecondsToday                       int64
	MicrosToday, MicrosThisMonth       int64
}

// ScopeUsage is a scope with its limits and usage.
type ScopeUsage struct {
	Scope  Scope
	Limits Limits
	Usage  Usage
}
