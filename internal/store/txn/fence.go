package txn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
)

type leaderKey struct{}

// AsLeader gives a context for what is written in the name of who leads at a generation: every write with it, of any method, is
// refused with ErrDeposed when another has taken the lead, in the transaction that would make it.
func AsLeader(ctx context.Context, generation int64) context.Context {
	return context.WithValue(ctx, leaderKey{}, generation)
}

// Leading gives the generation of AsLeader; false: nobody's in particular.
func Leading(ctx context.Context) (generation int64, ok bool) {
	generation, ok = ctx.Value(leaderKey{}).(int64)
	return generation, ok
}

// stillLeads refuses what is written in the name of one who does not lead any more. It is asked last, right before the commit:
// until that is done nobody can take the lead, and a transaction that waits for rows does not keep its own leader from renewing.
func (t *Tx) stillLeads(ctx context.Context) error {
	generation, ok := Leading(ctx)
	if !ok {
		return nil
	}
	var at int64
	err := t.QueryRowContext(ctx, "SELECT generation FROM leader WHERE singleton = 1"+t.DB.ForShare).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if at != generation {
		sentence := fmt.Sprintf("another daemon leads: generation %d was expected, it is at %d", generation, at)
		return &fleet.Error{Code: fleet.CodeConflict, Sentence: sentence, Err: ErrDeposed}
	}
	return nil
}
