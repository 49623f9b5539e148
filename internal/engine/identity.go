package engine

import "github.com/bothy-env/bothy/internal/fleet"

// platformOnly refuses everybody but the platform team; what completes "only the platform role may".
func platformOnly(who fleet.Identity, what string) error {
	if who.Platform() {
		return nil
	}
	return fleet.Errorf(fleet.CodePolicy, "only the platform role may %s", what).
		WithHint("ask your platform team; who has the role is in its file of tenants and teams")
}
