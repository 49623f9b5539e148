package api

import (
	"context"
	"errors"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// One user's bodies wait for each other and leave turns for others; a turn is given back once, and nothing of a user stays.
func TestTurnsAreShared(t *testing.T) {
	turns := newTurns()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	take := func(ctx context.Context, user string) func() {
		t.Helper()
		done, err := turns.take(ctx, user)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	var held []func()
	for range bodiesOfOne {
		held = append(held, take(t.Context(), "ada"))
	}
	refused := func(user string) {
		t.Helper()
		var p *wire.Problem
		if _, err := turns.take(over, user); !errors.As(err, &p) || p.Code != wire.CodeUnavailable {
			t.Errorf("%s: %v", user, err)
		}
	}
	refused("ada")
	for i := range bodiesAtOnce - bodiesOfOne {
		held = append(held, take(t.Context(), string(rune('b'+i))))
	}
	refused("zoe")
	held[0]()
	held[0]()
	take(t.Context(), "ada")()
	for _, done := range held[1:] {
		done()
	}
	if len(turns.all) != 0 || len(turns.of) != 0 {
		t.Errorf("%d turns and %d users are left", len(turns.all), len(turns.of))
	}
}
