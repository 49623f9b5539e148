package fleet

// Role is what a user may do beyond using environments.
type Role string

// The roles. Platform sets pools, quotas, rates and hosts, sees every tenant, and uses what is not theirs when they say why.
const (
	RoleMember   Role = "member"
	RolePlatform Role = "platform"
)

// The tenant and team of everybody when the platform team keeps no file of them.
const (
	DefaultTenant = "default"
	DefaultTeam   = "default"
)

// Identity is who asks, as the listener authenticated them.
type Identity struct {
	User   string
	Tenant string
	// Team is the one that this request is for; Teams are all that the user is in, the default first.
	Team  string
	Teams []string
	Role  Role
	// Share is what their environments are shared with unless a request says otherwise: the organisation's default.
	Share Share
	// Because is why they use the platform role on what is not theirs, for the record; empty when they do not.
	Because string
}

// Platform reports whether they may set pools, quotas and rates.
func (i Identity) Platform() bool { return i.Role == RolePlatform }

// nobody is a tenant that no environment has.
const nobody = "?"

// Sees is the tenant whose environments they may see, "" for all. Who has no tenant sees nothing.
func (i Identity) Sees() string {
	switch {
	case i.Platform():
		return ""
	case i.Tenant == "":
		return nobody
	}
	return i.Tenant
}

// Home is the tenant in which a name of theirs is looked up, whatever their role. Who has no tenant names nothing.
func (i Identity) Home() string {
	if i.Tenant == "" {
		return nobody
	}
	return i.Tenant
}

// Weight is a team's share of scarce capacity; 1 is the usual.
type Weight struct {
	Tenant, Team string
	Weight       int64
}
