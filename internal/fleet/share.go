package fleet

import "slices"

// Share is who may use and delete an environment beside its owner.
type Share string

// What an environment can be shared with. Team is the team that it was asked for.
const (
	ShareNobody Share = "nobody"
	ShareTeam   Share = "team"
	ShareTenant Share = "tenant"
)

// Shares gives all of them, the narrowest first.
func Shares() []Share { return []Share{ShareNobody, ShareTeam, ShareTenant} }

// Valid reports whether s is one of Shares.
func (s Share) Valid() bool { return slices.Contains(Shares(), s) }

// Owns reports whether an environment is theirs. What a pool keeps is nobody's.
func (i Identity) Owns(env *Environment) bool {
	return i.Tenant != "" && i.Tenant == env.Tenant && i.User != "" && i.User == env.Owner
}

// Uses reports whether they may use and delete an environment: as its owner, or because it is shared with them. The platform
// role alone gives no use; see Overrides.
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

// Overrides reports whether they may use what is not theirs: they have the platform role, and said why.
func (i Identity) Overrides() bool { return i.Platform() && i.Because != "" }
