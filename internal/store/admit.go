package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Admission is a request that was granted: a new row, and what to record of it.
type Admission struct {
	// Env is pending; its Revision is set to 1.
	Env fleet.Environment
	// RequestHash stands for what was asked, so that an idempotency key is not
	// taken for another request.
	RequestHash string
	Event       fleet.Event
	// Decide is asked inside the transaction with the locked limits and usage of those of the environment's
	// scopes that have limits, the widest first, as they are without it. An error refuses the request. Nil admits it.
	Decide func([]fleet.ScopeUsage) error
	// HeldMicros and HeldFor are held of the scopes' budgets of the day and month of Env.CreatedAt.
	HeldMicros int64
	HeldFor    time.Duration
	// Take, when not nil, is given the warm environment of Env.MatchKey that nobody else takes, if there is one, and
	// makes it the request's; the new row is then not written. First pool by name, then the oldest.
	Take func(warm *fleet.Environment) (Writes, error)
	// Secrets are kept sealed until they are delivered.
	Secrets []byte
}

// Admitted is what came of a request.
type Admitted struct {
	Env fleet.Environment
	// Existed: the key was used before; this is its environment as it is now.
	Existed bool
	// Claimed: a warm environment was taken.
	Claimed bool
}

// admitTries is how often an admission is tried when another with the same key was first: the second time it is seen.
const admitTries = 2

// Admit grants a request: it takes a warm environment, or writes a new one. When the owner has used the
// idempotency key before, it gives that environment as it is now, whatever its state, and Existed.
//
// Errors, after which nothing is written: CodeConflict when the key was used for another request, ErrNameTaken when a
// live environment has the name, and what Decide and Take gave, as they gave it.
//
// Decide and Take run inside the transaction, which may be tried again: they must be quick and must not call the store.
func (e *Environments) Admit(ctx context.Context, a Admission) (Admitted, error) {
	a, err := a.checked()
	if err != nil {
		return Admitted{}, err
	}
	for try := 1; ; try++ {
		got, err := e.admit(ctx, a)
		// Somebody on another connection may have been first with the key: what they wrote is then the answer.
		if _, raced := dialect.UniqueViolation(err); raced && a.Env.IdempotencyKey != "" && try < admitTries {
			continue
		}
		return got, err
	}
}

func (e *Environments) admit(ctx context.Context, a Admission) (Admitted, error) {
	asking := &admitting{a: a}
	err := e.together(ctx, &writing{admit: asking}, func() error {
		return e.db.InTx(ctx, doingAdmit, func(tx *txn.Tx) error {
			if err := judge(ctx, tx, nil, asking); err != nil || asking.got.Existed {
				return err
			}
			var b batch
			var err error
			if asking.got, err = grant(ctx, tx, &b, asking.a); err != nil {
				return err
			}
			return b.flush(ctx, tx)
		})
	})
	if err != nil {
		return Admitted{}, err
	}
	return asking.got, nil
}

const doingAdmit = "admit environment"

// admitting is a request that is being decided. got is what came of it.
type admitting struct {
	a   Admission
	got Admitted
}

// judge finds out whether a request was granted before, or may be now. known is nil for a request that has its transaction for itself.
func judge(ctx context.Context, tx *txn.Tx, known *standing, one *admitting) error {
	env, existed, err := asked(ctx, tx, one.a)
	if one.got = (Admitted{Env: env, Existed: existed}); err != nil || existed {
		return err
	}
	return decide(ctx, tx, known, &one.a.Env, one.a.Decide)
}

// grant gives a request a warm environment, or else a new row.
func grant(ctx context.Context, tx *txn.Tx, b *batch, a Admission) (Admitted, error) {
	one := &admitting{a: a}
	err := grantAll(ctx, tx, b, []*admitting{one}, nil)
	return one.got, err
}

// grantAll gives each of the requests that are not granted yet a warm environment, as far as there are some, or else a new row.
// It writes the alterations of other rows with those of the ones that it gives.
func grantAll(ctx context.Context, tx *txn.Tx, b *batch, all []*admitting, others []*alteration) error {
	all = slices.DeleteFunc(all, func(one *admitting) bool { return one.got.Existed })
	if err := claim(ctx, tx, b, all, others); err != nil {
		return err
	}
	for _, one := range all {
		if !one.got.Claimed {
			var err error
			if one.got.Env, err = insertRow(ctx, tx, b, one.a.Env, one.a.RequestHash); err != nil {
				return err
			}
			b.note(one.a.Env.ID, []fleet.Event{one.a.Event}, nil)
		}
		if len(one.a.Secrets) > 0 {
			if err := keepSecrets(ctx, tx, one.got.Env.ID, one.a.Secrets); err != nil {
				return err
			}
		}
	}
	return nil
}

// checked gives an admission with what the store sets, or says what is wrong with it.
func (a Admission) checked() (Admission, error) {
	if a.Env.ID == "" || a.Env.Name == "" || a.Env.State != fleet.Pending {
		return a, fleet.Errorf(fleet.CodeInternal,
			"admit environment: need an id, a name and the state pending, got %q, %q, %q", a.Env.ID, a.Env.Name, a.Env.State)
	}
	a.Env.HeldMicros, a.Env.HeldFor = a.HeldMicros, a.HeldFor
	if a.Env.Tenant != "" {
		a.Env.HeldAt = a.Env.CreatedAt
	}
	return a, holdable(&a.Env)
}

// insertRow writes a new row and gives it as it is kept.
func insertRow(ctx context.Context, tx *txn.Tx, b *batch, env fleet.Environment, requestHash string) (fleet.Environment, error) {
	env.Revision = 1
	values, err := record.ValuesOf(&env)
	if err != nil {
		return env, err
	}
	unnamed := tx.Unnamed()
	if _, err := tx.ExecContext(ctx, record.InsertEnv, append(values, requestHash)...); err != nil {
		return env, nameTaken(err, env.Name)
	}
	tx.Name(unnamed, env.ID)
	if env, err = record.Kept(values); err != nil {
		return env, err
	}
	b.moved(nil, &env, money{})
	return env, nil
}

// asked gives the environment that the owner got for the same key before.
func asked(ctx context.Context, tx *txn.Tx, a Admission) (fleet.Environment, bool, error) {
	if a.Env.IdempotencyKey == "" {
		return fleet.Environment{}, false, nil
	}
	const query = `SELECT id, request_hash FROM environments
		WHERE tenant = $1 AND owner = $2 AND idempotency_key = $3 AND idempotency_key <> ''`
	var id, hash string
	err := tx.QueryRowContext(ctx, query, a.Env.Tenant, a.Env.Owner, a.Env.IdempotencyKey).Scan(&id, &hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fleet.Environment{}, false, nil
	case err != nil:
		return fleet.Environment{}, false, err
	case hash != a.RequestHash:
		return fleet.Environment{}, false, fleet.Errorf(fleet.CodeConflict,
			"the idempotency key %q was used before for another request", a.Env.IdempotencyKey).
			WithHint("use a new key for a new request, or repeat the first one unchanged")
	}
	env, err := record.ScanEnv(tx.QueryRowContext(ctx, record.SelectEnvs+"WHERE id = $1", id))
	return env, err == nil, err
}

// nameTaken puts into words that a live environment of the tenant has the name already; other errors pass.
func nameTaken(err error, name string) error {
	if index, ok := dialect.UniqueViolation(err); !ok || index != "environments_live_name" {
		return err
	}
	taken := &fleet.Error{
		Code: fleet.CodeConflict, Sentence: fmt.Sprintf("the name %q is taken by a live environment", name),
		Err: fmt.Errorf("%w: %w", ErrNameTaken, err),
	}
	return taken.WithHint("choose another name, or delete that one, and wait until it is gone: bothy down %s", name)
}
