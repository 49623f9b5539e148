package store

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Doubt marks every environment created up to a time as doubted, unless it is being destroyed. Doubted members of pools lose their match
// key, so nobody can claim them. It is for a restored database, which does not know who has claimed or extended what since the backup. In
// the same transaction it sets the setting name to why and records ev. If that setting is no longer was, another daemon has decided
// meanwhile: done is false and nothing is written.
func (e *Environments) Doubt(ctx context.Context, until time.Time, name, was, why string, ev fleet.Event) (done bool, err error) {
	const (
		there  = "INSERT INTO settings (name, value) VALUES ($1, '') ON CONFLICT (name) DO NOTHING"
		decide = "UPDATE settings SET value = $1 WHERE name = $2 AND value = $3"
		doubt  = `UPDATE environments SET doubted = 1, revision = revision + 1,
				match_key = CASE WHEN pool <> '' AND state <> 'leased' THEN '' ELSE match_key END
			WHERE state IN ('pending', 'provisioning', 'warm', 'leased') AND doubted = 0 AND created_at <= $1`
		unmatch = `UPDATE environments SET match_key = '', revision = revision + 1
			WHERE doubted <> 0 AND pool <> '' AND state <> 'leased' AND match_key <> ''`
	)
	err = e.db.InTx(ctx, "doubt environments", func(tx *txn.Tx) error {
		if _, err := tx.ExecContext(ctx, there, name); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, decide, why, name, was)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if done = n > 0; err != nil || !done {
			return err
		}
		if _, err := tx.ExecContext(ctx, doubt, sqlkit.Micros(until)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, unmatch); err != nil {
			return err
		}
		return tx.AppendEvents(ctx, ev)
	})
	return done && err == nil, err
}
