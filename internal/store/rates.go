package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
)

// SetRate adds a rate; one of the same blueprint, size and moment is replaced.
func (s *Store) SetRate(ctx context.Context, r fleet.Rate, ev fleet.Event) error {
	const write = `INSERT INTO rates (blueprint, size, from_at, micros, currency, set_by) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (blueprint, size, from_at) DO UPDATE SET
		micros = excluded.micros, currency = excluded.currency, set_by = excluded.set_by`
	return s.inTx(ctx, "set rate", func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, write, r.Blueprint, r.Size, micros(r.From), r.Micros, r.Currency, r.SetBy); err != nil {
			return err
		}
		return recordEvents(ctx, tx, []fleet.Event{ev})
	})
}

// Rates gives all, by blueprint, size and time.
func (s *Store) Rates(ctx context.Context) ([]fleet.Rate, error) {
	const query = "SELECT blueprint, size, from_at, micros, currency, set_by FROM rates ORDER BY blueprint, size, from_at"
	rows, err := s.read.QueryContext(ctx, query)
	if err != nil {
		return nil, s.fault(ctx, "read rates", err)
	}
	rates, err := collect(rows, func(row scanner) (r fleet.Rate, err error) {
		err = row.Scan(&r.Blueprint, &r.Size, timeField{&r.From}, &r.Micros, &r.Currency, &r.SetBy)
		return r, err
	})
	return rates, s.fault(ctx, "read rates", err)
}
