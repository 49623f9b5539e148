package blueprint_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/blueprint/blueprinttest"
	"github.com/bothy-env/bothy/internal/fleet"
)

// TestHostileBlueprintsAreRefused: each by the name of what is wrong with it, and its place.
func TestHostileBlueprintsAreRefused(t *testing.T) {
	store, kinds, names := cache(t), map[string]int{}, map[string]bool{}
	for _, h := range blueprinttest.Corpus() {
		t.Run(h.Name, func(t *testing.T) {
			_, err := blueprint.Load(folder(t, h.Files), store)
			errs, ok := errors.AsType[blueprint.Errors](err)
			if !ok || fleet.CodeOf(err) != fleet.CodeInvalid {
				t.Fatalf("it is accepted, or refused without a place: %v", err)
			}
			if !slices.ContainsFunc(errs, func(e blueprint.Error) bool {
				return strings.Contains(e.Found, h.Attribute) || e.File == h.Attribute
			}) {
				t.Errorf("the refusal does not mention %s:\n%v", h.Attribute, err)
			}
			for _, e := range errs {
				if e.Line < 1 || e.Col < 1 || h.Files[e.File] == "" && e.File != h.Attribute {
					t.Errorf("no place: %v", e)
				}
			}
		})
		kinds[h.Kind]++
		if names[h.Name] {
			t.Errorf("two are called %s", h.Name)
		}
		names[h.Name] = true
	}
	if len(names) < 60 || len(kinds) < 12 {
		t.Errorf("%d of %d kinds", len(names), len(kinds))
	}
	t.Logf("%d hostile blueprints of %d kinds: %v", len(names), len(kinds), kinds)
}

// What the hostile ones are made from is not refused, nor is it when nothing is changed but the name.
func TestTheBlueprintBehindTheHostileOnesIsRight(t *testing.T) {
	if _, err := blueprint.Load(folder(t, blueprinttest.Builtin()), cache(t)); err != nil {
		t.Error(err)
	}
}
