package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// alteration is a row before and after a change, and what to record of it.
type alteration struct {
	before fleet.Environment
	// after is replaced by the row as stored once it is written.
	after  fleet.Environment
	writes Writes
}

// alter writes changed rows, at most one change of each, and adds their records to b. The caller has checked who holds the rows and
// whether the limits allow the change.
func alter(ctx context.Context, tx *txn.Tx, b *batch, all ...*alteration) error {
	for _, a := range all {
		if err := legal(&a.before, &a.after); err != nil {
			return err
		}
	}
	if err := writeRows(ctx, tx, all); err != nil {
		return err
	}
	for _, a := range all {
		if err := a.record(ctx, tx, b); err != nil {
			return err
		}
	}
	return nil
}

// record adds the alteration's records to b and writes what belongs to the row alone.
func (a *alteration) record(ctx context.Context, tx *txn.Tx, b *batch) (err error) {
	before, after := &a.before, &a.after
	var spent money
	if settles(before, after) {
		if spent, err = spentBy(ctx, tx, before, a.writes.Entries); err != nil {
			return err
		}
	}
	b.note(before.ID, a.writes.Events, a.writes.Entries)
	b.moved(before, after, spent)
	if a.writes.Receipt != nil {
		b.receipts = append(b.receipts, toSign{before.ID, a.writes.Receipt})
		if err := dropObjects(ctx, tx, before.ID); err != nil {
			return err
		}
	}
	if a.writes.EstimateOff != nil {
		if err := keepEstimate(ctx, tx, after, *a.writes.EstimateOff); err != nil {
			return err
		}
	}
	if before.State.Live() && !after.State.Live() {
		a.writes.Secrets = []byte{} // no sandbox is left to deliver them to
	}
	return keepSecrets(ctx, tx, before.ID, a.writes.Secrets)
}

// writeRows writes the next revision of rows.
func writeRows(ctx context.Context, tx *txn.Tx, all []*alteration) error {
	rows, ids, unnamed := make([][]any, len(all)), make([]string, len(all)), tx.Unnamed()
	for i, a := range all {
		ids[i] = a.after.ID
		a.after.Revision = a.before.Revision + 1
		values, err := record.ValuesOf(&a.after)
		if err != nil {
			return err
		}
		if rows[i] = values; len(all) == 1 {
			if _, err := tx.ExecContext(ctx, record.UpdateEnv, values...); err != nil {
				return nameTaken(err, a.after.Name)
			}
		}
	}
	if len(all) > 1 {
		if err := tx.ExecRows(ctx, rows, record.UpdateEnvs); err != nil {
			return err
		}
	}
	tx.Name(unnamed, ids...)
	for i, a := range all {
		var err error
		if a.after, err = record.Kept(rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// legal checks a change of a row.
func legal(before, after *fleet.Environment) error {
	if after.State != before.State && !before.State.CanBecome(after.State) {
		return fleet.Errorf(fleet.CodeConflict, "environment %s is %s and cannot become %s", before.Name, before.State, after.State)
	}
	if before.ID != after.ID || !before.CreatedAt.Equal(after.CreatedAt) || after.Work.Generation < before.Work.Generation {
		return fleet.Errorf(fleet.CodeInternal,
			"change environment %s: id and creation time are fixed, and a generation never goes back", before.ID)
	}
	if !after.State.Live() && (before.HeldMicros != after.HeldMicros || before.HeldFor != after.HeldFor) {
		return fleet.Errorf(fleet.CodeInternal, "change environment %s: the amounts held by a destroyed environment are fixed", before.ID)
	}
	return holdable(after)
}

// holderKept checks that a change keeps a row's holder. Only a claim sets a holder: of a pool's warm environment, once, since it can
// never be warm again; or of a doubted one whose holder is unknown.
func holderKept(before, after *fleet.Environment) error {
	same := before.Tenant == after.Tenant && before.Team == after.Team && before.Owner == after.Owner &&
		before.IdempotencyKey == after.IdempotencyKey && before.HeldAt.Equal(after.HeldAt)
	unknown := before.Doubted && before.State == fleet.Leased && before.Tenant == "" && after.Tenant != ""
	claimed := before.Pool != "" && (before.State == fleet.Warm || unknown) && after.State == fleet.Leased
	switch {
	case claimed && before.Tenant+before.Team+before.Owner+before.IdempotencyKey != "":
		return fleet.Errorf(fleet.CodeInternal, "claim environment %s: it already has a holder", before.ID)
	case claimed && (after.Tenant == "" || after.Owner == "" || after.HeldAt.IsZero()):
		return fleet.Errorf(fleet.CodeInternal, "claim environment %s: need a tenant and an owner", before.ID)
	case !claimed && !same:
		return fleet.Errorf(fleet.CodeInternal,
			"change environment %s: tenant, team, owner, idempotency key and the time of the hold are fixed", before.ID)
	}
	return nil
}

// mostHeld bounds what one environment holds, in millionths, so that sums of thousands still fit.
const mostHeld = 1 << 50

// holdable checks the amounts that a row holds from its scopes' limits.
func holdable(env *fleet.Environment) error {
	if env.HeldMicros < 0 || env.HeldFor < 0 {
		return fleet.Errorf(fleet.CodeInternal, "environment %s would hold a negative amount", env.ID)
	}
	if env.HeldMicros > mostHeld {
		return fleet.Errorf(fleet.CodeInvalid, "the price of the whole lease of environment %s is too large", env.Name).
			WithHint("check the rate of its size: bothy rate ls")
	}
	return nil
}
