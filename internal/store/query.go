package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// Page sizes.
const (
	// DefaultLimit is the page size when none is given.
	DefaultLimit = 100
	// MaxLimit is the largest page size; larger ones are cut to it.
	MaxLimit = 1000
)

// Filter selects environments. Empty fields select all.
type Filter struct {
	// IncludeGone adds destroyed environments. It is ignored when States is set.
	IncludeGone bool
	States      []fleet.State
	// Tenant limits the result to one tenant; "" means all. The others work the same way.
	Tenant, Team, Owner, Project, Blueprint, Pool, Host string
	// Limit is the page size: 0 means DefaultLimit, at most MaxLimit.
	Limit int
	// Cursor is the next of the last List.
	Cursor string
}

// Get returns an environment by id, or CodeNotFound.
func (q *Queries) Get(ctx context.Context, id string) (fleet.Environment, error) {
	env, err := record.ScanEnv(q.db.Read.QueryRowContext(ctx, record.SelectEnvs+"WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Environment{}, record.NotFound(id)
	}
	return env, q.db.Fault(ctx, "get environment", err)
}

// Lookup identifies an environment by id or name.
type Lookup struct {
	// ID is an id that Sees may see; empty when only a name is given.
	ID string
	// Sees is the tenant whose environments an id may reach, "" for all.
	Sees string
	// Name is a name within Tenant; empty when only an id is given. Unclaimed also finds, last, unclaimed members of pools.
	Name, Tenant string
	Unclaimed    bool
}

// Find returns the environment with that id, otherwise the live one with that name, otherwise the newest destroyed one with that name,
// otherwise CodeNotFound. An id wins over any name: a row of an older version may have another's id as its name.
func (q *Queries) Find(ctx context.Context, l Lookup) (fleet.Environment, error) {
	also := l.Tenant
	if l.Unclaimed {
		also = ""
	}
	env, err := record.ScanEnv(q.db.Read.QueryRowContext(ctx, record.SelectEnvs+`WHERE (id = $1 AND ($2 = '' OR tenant = $2))
		OR (name = $3 AND (tenant = $4 OR tenant = $5)) ORDER BY
		CASE WHEN id = $1 THEN 0 WHEN tenant = '' THEN 3 WHEN state <> 'destroyed' THEN 1 ELSE 2 END,
		created_at DESC, id LIMIT 1`, l.ID, l.Sees, l.Name, l.Tenant, also))
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Environment{}, record.NotFound(cmp.Or(l.Name, l.ID))
	}
	return env, q.db.Fault(ctx, "find environment", err)
}

// Live returns all environments that are not destroyed, by id: the planner's snapshot.
func (q *Queries) Live(ctx context.Context) ([]fleet.Environment, error) {
	return q.db.Environments(ctx, "read live environments", "WHERE state <> 'destroyed' ORDER BY id")
}

// List returns a page of environments, newest first, and the cursor of the next page, "" after the last. CodeInvalid: an unknown state or
// a bad cursor.
func (q *Queries) List(ctx context.Context, f Filter) (envs []fleet.Environment, next string, err error) {
	var where sqlkit.Where
	switch {
	case len(f.States) > 0:
		if err := inStates(&where, f.States); err != nil {
			return nil, "", err
		}
	case !f.IncludeGone:
		where.Add("state <> 'destroyed'")
	}
	for _, c := range []struct{ column, value string }{
		{"tenant", f.Tenant}, {"team", f.Team}, {"owner", f.Owner}, {"project", f.Project}, {"blueprint", f.Blueprint},
		{"pool", f.Pool}, {"host", f.Host},
	} {
		if c.value != "" {
			where.Add(c.column+" = ?", c.value)
		}
	}
	if f.Cursor != "" {
		createdAt, id, err := parseCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		where.Add("(created_at < ? OR (created_at = ? AND id > ?))", createdAt, createdAt, id)
	}
	limit := sqlkit.PageSize(f.Limit, DefaultLimit, MaxLimit)
	// One row more than the limit tells whether there is a next page.
	where.Args = append(where.Args, limit+1)
	query := fmt.Sprintf("%s ORDER BY created_at DESC, id LIMIT $%d", where.Text(), len(where.Args))
	envs, err = q.db.Environments(ctx, "list environments", query, where.Args...)
	if err != nil || len(envs) <= limit {
		return envs, "", err
	}
	envs = envs[:limit]
	return envs, cursor(envs[limit-1]), nil
}

// Doubted returns the doubted environments that are not being destroyed, by id.
func (q *Queries) Doubted(ctx context.Context) ([]fleet.Environment, error) {
	return q.db.Environments(ctx, "read doubted environments",
		"WHERE doubted <> 0 AND state IN ('pending', 'provisioning', 'warm', 'leased') ORDER BY id")
}

// inStates selects rows by their states.
func inStates(where *sqlkit.Where, states []fleet.State) error {
	names, live := make([]any, len(states)), true
	for i, state := range states {
		if !state.Valid() {
			return fleet.Errorf(fleet.CodeInvalid, "unknown state %q", state).WithHint("the states are %v", fleet.States())
		}
		names[i] = string(state)
		live = live && state.Live()
	}
	where.Add("state IN (?"+strings.Repeat(", ?", len(names)-1)+")", names...)
	if live {
		where.Add("state <> 'destroyed'") // lets the database use the index of live rows
	}
	return nil
}

// cursor encodes the last row of a page by the columns that List orders by.
func cursor(last fleet.Environment) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(sqlkit.Micros(last.CreatedAt), 10) + " " + last.ID))
}

func parseCursor(c string) (createdAt int64, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	at, id, ok := strings.Cut(string(b), " ")
	createdAt, numErr := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || numErr != nil {
		return 0, "", fleet.Errorf(fleet.CodeInvalid, "the cursor %q is invalid", c).
			WithHint("start again without a cursor")
	}
	return createdAt, id, nil
}
