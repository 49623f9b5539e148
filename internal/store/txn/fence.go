package txn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
)

type leaderKey struct{}

// AsLeader returns a context for writes in the name of the leader of a generation. Every write with it, of any method, is refused with
// ErrDeposed, in its own transaction, once another daemon has taken the lead.
func AsLeader(ctx context.Context, generation int64) context.Context {
	return context.WithValue(ctx, leaderKey{}, generation)
}

// Leading returns the generation of AsLeader; false without one.
func Leading(ctx context.Context) (generation int64, ok bool) {
	generation, ok = ctx.Value(leaderKey{}).(int64)
	return generation, ok
}

// stillLeads refuses writes in the name of a former leader. It runs last, right before the commit: until then nobody can take the lead,
// and a transaction that waits for rows does not keep its own leader from renewing.
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
