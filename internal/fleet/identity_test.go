package fleet_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestSees: only the platform role sees all tenants; an identity that was never filled in sees none.
func TestSees(t *testing.T) {
	for _, c := range []struct {
		who  fleet.Identity
		want string
	}{
		{fleet.Identity{User: "ada", Tenant: "acme", Role: fleet.RoleMember}, "acme"},
		{fleet.Identity{User: "ada", Tenant: "acme", Role: fleet.RolePlatform}, ""},
		{fleet.Identity{}, "?"},
	} {
		if got := c.who.Sees(); got != c.want {
			t.Errorf("%+v sees %q, want %q", c.who, got, c.want)
		}
	}
}
