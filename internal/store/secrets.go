package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/store/txn"
)

// Secrets gives what is kept sealed for delivery; nil when there is nothing.
func (a *Artifacts) Secrets(ctx context.Context, environmentID string) ([]byte, error) {
	var sealed []byte
	const query = "SELECT sealed FROM secrets WHERE environment_id = $1"
	err := a.db.Read.QueryRowContext(ctx, query, environmentID).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return sealed, a.db.Fault(ctx, "read secrets", err)
}

// keepSecrets replaces what is kept for an environment; nil leaves it, an empty one drops it.
func keepSecrets(ctx context.Context, tx *txn.Tx, id string, sealed []byte) error {
	if sealed == nil {
		return nil
	}
	if len(sealed) == 0 {
		_, err := tx.ExecContext(ctx, "DELETE FROM secrets WHERE environment_id = $1", id)
		return err
	}
	const write = `INSERT INTO secrets (environment_id, sealed) VALUES ($1, $2)
		ON CONFLICT (environment_id) DO UPDATE SET sealed = excluded.sealed`
	_, err := tx.ExecContext(ctx, write, id, sealed)
	return err
}
