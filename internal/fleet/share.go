package fleet

import "slices"

// Share is who may use and delete an environment besides its owner.
type Share string

// The values of Share. Team is the team of the request.
const (
	ShareNobody Share = "nobody"
	ShareTeam   Share = "team"
	ShareTenant Share = "tenant"
)

// Shares returns all values, the narrowest first.
func Shares() []Share { return []Share{ShareNobody, ShareTeam, ShareTenant} }

// Valid reports whether s is one of Shares.
func (s Share) Valid() bool { return slices.Contains(Shares(), s) }

// Owns reports whether the caller owns an environment. An unclaimed member of a pool has no owner.
func (i Identity) Owns(env *Environment) bool {
	return i.Tenant != "" && i.Tenant == env.Tenant && i.User != "" && i.User == env.Owner
}

// Uses reports whether the caller may use and delete an environment: as its owner, or because it is shared. The platform role alone does
// not suffice; see Overrides.
func (i Identity) Uses(env *Environment) bool {
	if i.Tenant == "" || i.Tenant != env.Tenant || i.User == "" {
		return false
	}
	switch env.Share {
	case ShareTenant:
		return true
	case ShareTeam:
		return i.User == env.Owner || slices.Contains(i.Teams, env.Team)
	}
	return i.User == env.Owner
}

// Overrides reports whether the caller may use other people's environments: by the platform role, with a reason.
func (i Identity) Overrides() bool { return i.Platform() && i.Because != "" }
