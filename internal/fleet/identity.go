package fleet

// Role is what a user may do besides using environments.
type Role string

// The roles. Platform sets pools, quotas, rates and hosts, sees every tenant, and may use other people's environments with a reason.
const (
	RoleMember   Role = "member"
	RolePlatform Role = "platform"
)

// The tenant and team of every user when the platform team has no file of users.
const (
	DefaultTenant = "default"
	DefaultTeam   = "default"
)

// Identity is the caller, as authenticated by the listener.
type Identity struct {
	User   string
	Tenant string
	// Team is the team of this request; Teams are all of the user's teams, the default first.
	Team  string
	Teams []string
	Role  Role
	// Share is the organisation's default for sharing new environments.
	Share Share
	// Because is the recorded reason for using the platform role on other people's environments; empty without one.
	Because string
}

// Platform reports whether the caller has the platform role.
func (i Identity) Platform() bool { return i.Role == RolePlatform }

// nobody is a tenant that no environment has.
const nobody = "?"

// Sees is the tenant whose environments the caller may see, "" for all. A caller without a tenant sees nothing.
func (i Identity) Sees() string {
	switch {
	case i.Platform():
		return ""
	case i.Tenant == "":
		return nobody
	}
	return i.Tenant
}

// Home is the tenant in which the caller's names are resolved, whatever the role. A caller without a tenant names nothing.
func (i Identity) Home() string {
	if i.Tenant == "" {
		return nobody
	}
	return i.Tenant
}

// Weight is a team's share of scarce capacity; the default is 1.
type Weight struct {
	Tenant, Team string
	Weight       int64
}
