package settings

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// SetRate adds a rate and replaces one of the same blueprint, size and moment. record is called with all former rates and returns the
// event. It runs inside the transaction, which may be retried.
func (s *Settings) SetRate(ctx context.Context, r fleet.Rate, record func(were []fleet.Rate) fleet.Event) error {
	const write = `INSERT INTO rates (blueprint, size, from_at, micros, currency, set_by) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (blueprint, size, from_at) DO UPDATE SET
		micros = excluded.micros, currency = excluded.currency, set_by = excluded.set_by`
	return s.db.InTx(ctx, "set rate", func(tx *txn.Tx) error {
		were, err := ratesOf(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, write, r.Blueprint, r.Size, sqlkit.Micros(r.From), r.Micros, r.Currency, r.SetBy); err != nil {
			return err
		}
		return tx.AppendEvents(ctx, record(were))
	})
}

// Rates returns all rates by blueprint, size and time.
func (s *Settings) Rates(ctx context.Context) ([]fleet.Rate, error) {
	rates, err := ratesOf(ctx, s.db.Read)
	return rates, s.db.Fault(ctx, "read rates", err)
}

func ratesOf(ctx context.Context, q sqlkit.Querier) ([]fleet.Rate, error) {
	const query = "SELECT blueprint, size, from_at, micros, currency, set_by FROM rates ORDER BY blueprint, size, from_at"
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return sqlkit.Collect(rows, func(row sqlkit.Scanner) (r fleet.Rate, err error) {
		err = row.Scan(&r.Blueprint, &r.Size, sqlkit.Time(&r.From), &r.Micros, &r.Currency, &r.SetBy)
		return r, err
	})
}
