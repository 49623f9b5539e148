// Package journal is how a room writes an environment's row: every change of one goes through Change, which books the time that it ends
// and has it end with a receipt, and what happened is recorded as an event. It decides nothing; the store keeps what it makes.
package journal

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Self is the actor of what nobody asked for.
const Self = "bothyd"

// Journal writes rows of one installation.
type Journal struct {
	store    *store.Store
	clock    *clock.Clock
	instance string
	key      ed25519.PrivateKey
	logger   *slog.Logger
}

// New makes a journal. key signs receipts.
func New(db *store.Store, c *clock.Clock, instance string, key ed25519.PrivateKey, logger *slog.Logger) *Journal {
	return &Journal{store: db, clock: c, instance: instance, key: key, logger: logger}
}

// Change writes a row and books the time that its change of state ends.
func (j *Journal) Change(ctx context.Context, id string, expect store.Expect, fn func(*fleet.Environment) (store.Writes, error)) (fleet.Environment, error) {
	now := j.clock.Now()
	return j.store.Change(ctx, id, expect, func(env *fleet.Environment) (store.Writes, error) {
		before := *env
		writes, err := fn(env)
		if err != nil {
			return store.Writes{}, err
		}
		err = j.Book(&before, env, now, &writes)
		return writes, err
	})
}

// Event makes an entry of the record.
func (j *Journal) Event(env *fleet.Environment, actor, kind, format string, args ...any) fleet.Event {
	return fleet.Event{
		At: j.clock.Now(), EnvironmentID: env.ID, Pool: env.Pool, Host: env.Host, Tenant: env.Tenant, Team: env.Team, User: env.Owner,
		Kind: kind, Actor: actor, Message: fmt.Sprintf(format, args...),
	}
}

// Recorded is a change with one event of bothy's own.
func (j *Journal) Recorded(env *fleet.Environment, kind, message string) store.Writes {
	return store.Writes{Events: []fleet.Event{j.Event(env, Self, kind, "%s", message)}}
}

// Setting reads a setting that is kept in JSON; an empty one is the zero value. what names it in errors.
func Setting[T any](ctx context.Context, db *store.Store, name, what string) (value T, err error) {
	text, err := db.Setting(ctx, name)
	if err != nil || text == "" {
		return value, err
	}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return value, fmt.Errorf("read %s: %w", what, err)
	}
	return value, nil
}
