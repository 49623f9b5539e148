package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/store/txn"
)

// Secrets returns the sealed secrets that await delivery, nil for none.
func (a *Artifacts) Secrets(ctx context.Context, environmentID string) ([]byte, error) {
	var sealed []byte
	const query = "SELECT sealed FROM secrets WHERE environment_id = $1"
	err := a.db.Read.QueryRowContext(ctx, query, environmentID).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return sealed, a.db.Fault(ctx, "read secrets", err)
}

// keepSecrets replaces the sealed secrets of an environment; nil keeps them, an empty one removes them.
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
