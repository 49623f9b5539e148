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

// Admission is a request to admit: the row to insert and what to record with it.
type Admission struct {
	// Env is pending; its Revision is set to 1.
	Env fleet.Environment
	// RequestHash identifies the request, so that the same idempotency key with another request is a conflict.
	RequestHash string
	Event       fleet.Event
	// Decide is called inside the transaction with the limits and usage, locked and without this request, of those scopes of the
	// environment that have limits, the widest first. An error refuses the request; nil admits every request.
	Decide func([]fleet.ScopeUsage) error
	// HeldMicros and HeldFor are reserved from the scopes' budgets for the day and month of Env.CreatedAt.
	HeldMicros int64
	HeldFor    time.Duration
	// Take, when not nil, turns an available warm environment with Env.MatchKey into the request's; the new row is then not inserted.
	// Pools are tried by name, then the oldest member first.
	Take func(warm *fleet.Environment) (Writes, error)
	// Secrets are stored sealed until they are delivered.
	Secrets []byte
}

// Admitted is the result of an admission.
type Admitted struct {
	Env fleet.Environment
	// Existed: the key was used before; Env is its environment as it is now.
	Existed bool
	// Claimed: Env was a warm environment.
	Claimed bool
}

// admitTries is how often an admission is tried: the second time sees a request with the same key that was committed meanwhile.
const admitTries = 2

// Admit grants a request: it claims a warm environment or inserts a new row. If the owner has used the idempotency key before, it returns
// that environment in its current state, with Existed.
//
// Errors, with nothing written: CodeConflict when the key was used for another request, ErrNameTaken when a live environment has the
// name, and the errors of Decide and Take, unchanged.
//
// Decide and Take run inside the transaction, which may be retried: they must be quick and must not call the store.
func (e *Environments) Admit(ctx context.Context, a Admission) (Admitted, error) {
	a, err := a.checked()
	if err != nil {
		return Admitted{}, err
	}
	for try := 1; ; try++ {
		got, err := e.admit(ctx, a)
		// A request with the same key may have been committed on another connection: the next try returns its environment.
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

// admitting is a request while it is decided. got is the result.
type admitting struct {
	a   Admission
	got Admitted
}

// judge finds out whether a request was granted before, or may be granted now. known is nil for a request that has a transaction of its
// own.
func judge(ctx context.Context, tx *txn.Tx, known *standing, one *admitting) error {
	env, existed, err := asked(ctx, tx, one.a)
	if one.got = (Admitted{Env: env, Existed: existed}); err != nil || existed {
		return err
	}
	return decide(ctx, tx, known, &one.a.Env, one.a.Decide)
}

// grant gives a request a warm environment or a new row.
func grant(ctx context.Context, tx *txn.Tx, b *batch, a Admission) (Admitted, error) {
	one := &admitting{a: a}
	err := grantAll(ctx, tx, b, []*admitting{one}, nil)
	return one.got, err
}

// grantAll gives each request that is not granted yet a warm environment, as far as there are any, or a new row. It writes the
// alterations of other rows in the same statement as those of the claimed rows.
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

// checked returns an admission with the fields that the store sets, or an error for an invalid one.
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

// insertRow inserts a new row and returns it as stored.
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

// asked returns the environment that the owner got for the same key before.
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

// nameTaken translates the violation of the unique index of live names; other errors pass.
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
