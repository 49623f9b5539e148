package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Filter selects environments for List.
type Filter = store.Filter

// Find gives an environment by name or id: a live one first, else the latest gone one of that name.
//
// Errors: not_found.
func (e *Engine) Find(ctx context.Context, nameOrID string) (fleet.Environment, error) {
	return e.store.Find(ctx, nameOrID)
}

// List gives one page of environments, newest first, and the cursor of the next page ("" at the end).
func (e *Engine) List(ctx context.Context, f Filter) ([]fleet.Environment, string, error) {
	return e.store.List(ctx, f)
}

// Events gives entries of an environment's record after a sequence number, oldest first.
func (e *Engine) Events(ctx context.Context, nameOrID string, after int64, limit int) ([]fleet.Event, error) {
	env, err := e.store.Find(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	return e.store.Events(ctx, env.ID, after, limit)
}

// Blueprints gives all blueprints, by name.
func (e *Engine) Blueprints() []fleet.Blueprint { return e.blueprints.List() }

// Blueprint gives one by name or name@version.
func (e *Engine) Blueprint(name string) (fleet.Blueprint, error) { return e.blueprints.Get(name) }
