package chaos_test

import (
	"context"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// setPool keeps warm environments of the build blueprint.
func (h *house) setPool(ctx context.Context, name, size string, target int64, pause bool) error {
	most := target + 2
	req := wire.PoolRequest{Blueprint: "build", Size: size, Target: target, Max: &most, Surge: 1, Pause: pause}
	return h.ask(ctx, "set pool "+name, func(c *client.Client) error {
		_, err := c.SetPool(ctx, name, req)
		return err
	})
}

// limit bounds how many environments everybody together may have at once.
func (h *house) limit(ctx context.Context, environments int64) error {
	return h.ask(ctx, "set quota", func(c *client.Client) error {
		_, err := c.SetQuota(ctx, "default", wire.Limits{Environments: &environments})
		return err
	})
}
