package fleet_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestUses: an environment is used by its owner and whom it is shared with, never beyond its tenant; a share that is not known is
// nobody's.
func TestUses(t *testing.T) {
	who := func(user, tenant string, teams ...string) fleet.Identity {
		return fleet.Identity{User: user, Tenant: tenant, Teams: teams, Role: fleet.RoleMember}
	}
	owner, mate, other := who("ada", "acme", "core"), who("cat", "acme", "web", "core"), who("dan", "acme", "web")
	namesake, foreign, nobody := who("ada", "zoo", "core"), who("bob", "zoo", "core"), fleet.Identity{}
	root := who("root", "ops", "ops")
	root.Role = fleet.RolePlatform
	for share, users := range map[fleet.Share][]fleet.Identity{
		fleet.ShareNobody: {owner}, fleet.ShareTeam: {owner, mate}, fleet.ShareTenant: {owner, mate, other}, "": {owner}, "all": {owner},
	} {
		env := fleet.Environment{Tenant: "acme", Team: "core", Owner: "ada", Share: share}
		for _, one := range []fleet.Identity{owner, mate, other, namesake, foreign, nobody, root} {
			want := false
			for _, user := range users {
				want = want || user.User == one.User && user.Tenant == one.Tenant
			}
			if one.Uses(&env) != want || one.Owns(&env) != (one.User == "ada" && one.Tenant == "acme") {
				t.Errorf("shared with %q: %s of %s uses it: %v, owns it: %v", share, one.User, one.Tenant, one.Uses(&env), one.Owns(&env))
			}
		}
	}
	warm := fleet.Environment{Pool: "builders", Share: fleet.ShareTenant}
	for _, one := range []fleet.Identity{owner, nobody, root} {
		if one.Uses(&warm) || one.Owns(&warm) {
			t.Errorf("%q has what a pool keeps", one.User)
		}
	}
	if root.Overrides() {
		t.Error("the platform role overrides without a reason")
	}
	root.Because = "why"
	if mate.Because = "why"; !root.Overrides() || mate.Overrides() {
		t.Error("the platform role alone overrides, with a reason")
	}
}
