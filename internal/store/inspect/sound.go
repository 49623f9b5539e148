package inspect

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
)

// Sound reads the whole database and reports whether it is sound. With PostgreSQL, which checks itself, it does nothing. It takes a while
// and blocks nobody.
func Sound(ctx context.Context, d *dialect.DB) error {
	if d.Shared() {
		return nil
	}
	if err := d.SameFile(); err != nil {
		return err
	}
	var found string
	if err := d.Read.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return d.Fault(ctx, "check store", err)
	}
	if found != "ok" {
		return fleet.Errorf(fleet.CodeUnavailable, "check store: %w: %s", dialect.ErrDamaged, found).
			WithHint("%s is damaged: restore a backup: bothyd restore FILE", d.Where)
	}
	return nil
}
