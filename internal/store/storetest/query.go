package storetest

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func query(t *testing.T, open Open) {
	t.Run("get", func(t *testing.T) {
		s := open(t)
		_, err := s.Get(t.Context(), "nobody")
		wantCode(t, err, fleet.CodeNotFound)
		_, err = s.Find(t.Context(), store.Lookup{ID: "nobody", Name: "nobody", Tenant: "acme"})
		wantCode(t, err, fleet.CodeNotFound)
	})
	t.Run("find", func(t *testing.T) { find(t, open(t)) })
	t.Run("rows share nothing", func(t *testing.T) {
		s := open(t)
		var want []fleet.Environment
		for n := range 4 {
			env := environment(n)
			env.Users = [][]string{{"a", "b", "c"}, {"d"}, nil, {"e", "f"}}[n]
			env.Inputs = []map[string]any{{"a": "1", "b": "2"}, {"b": "3"}, nil, {"c": "4"}}[n]
			if n%2 == 0 {
				env.Failure = &fleet.Failure{Code: fleet.CodeProvision, Sentence: env.Name}
			}
			want = append(want, mustAdmit(t, s, env))
		}
		live, err := s.Live(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same(t, live, want)
	})
	t.Run("live", func(t *testing.T) {
		s := open(t)
		if live, err := s.Live(t.Context()); err != nil || len(live) != 0 {
			t.Fatalf("an empty store has %d live environments, error %v", len(live), err)
		}
		var want []string
		// Admitted backwards, so that the order by id is not that of rows.
		for i := len(fleet.States()) - 1; i >= 0; i-- {
			if env := admitIn(t, s, i, fleet.States()[i]); env.State.Live() {
				want = append([]string{env.ID}, want...)
			}
		}
		live, err := s.Live(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same(t, ids(live), want)
	})
}

func find(t *testing.T, s *store.Store) {
	// Three in a row had the name; the newest is live.
	var made []fleet.Environment
	for i, state := range []fleet.State{fleet.Destroyed, fleet.Destroyed, fleet.Leased} {
		env := environment(i)
		env.Name = "web"
		env = mustAdmit(t, s, env)
		for _, next := range paths[state] {
			env = mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State = next })
		}
		made = append(made, env)
	}
	// Named like another's id, as older versions allowed: of one that is gone, of one that lives.
	for i, of := range []int{0, 2} {
		odd := environment(20 + i)
		odd.Name = made[of].ID
		mustAdmit(t, s, odd)
	}

	of := func(tenant, word string) store.Lookup {
		return store.Lookup{ID: word, Sees: tenant, Name: word, Tenant: tenant}
	}
	expect := func(nameOrID string, want fleet.Environment) {
		t.Helper()
		got, err := s.Find(t.Context(), of("acme", nameOrID))
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	// One that is live, but older than a gone one by a clock that went back.
	before := environment(10)
	before.Name, before.CreatedAt = "back", base
	after := environment(11)
	after.Name = "back"
	after = mustAdmit(t, s, after)
	mustChange(t, s, after.ID, func(e *fleet.Environment) { e.State = fleet.Destroyed })
	before = mustAdmit(t, s, before)

	expect("back", before)
	expect("web", made[2])
	expect(made[1].ID, made[1])
	expect(made[0].ID, made[0])
	expect(made[2].ID, made[2])
	gone := mustChange(t, s, made[2].ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
	gone = mustChange(t, s, gone.ID, func(e *fleet.Environment) { e.State = fleet.Destroyed })
	expect("web", gone)

	// Another tenant has the same name, and sees neither these names nor their ids.
	theirs := environment(12)
	theirs.Tenant, theirs.Name = "umbra", "back"
	theirs = mustAdmit(t, s, theirs)
	expect("back", before)
	got, err := s.Find(t.Context(), of("umbra", "back"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, theirs)
	for _, hidden := range []string{"web", before.ID} {
		_, err := s.Find(t.Context(), of("umbra", hidden))
		wantCode(t, err, fleet.CodeNotFound)
	}
	// Those who see all tenants reach any id, and their own names first; an environment of another tenant that is named
	// like the id takes nothing over. What a pool keeps is found by its name where that is asked for.
	thief := environment(30)
	thief.Tenant, thief.Name = "umbra", before.ID
	mustAdmit(t, s, thief)
	kept := environment(31)
	kept.Tenant, kept.Name = "", "kept"
	kept = mustAdmit(t, s, kept)
	for _, c := range []struct {
		look store.Lookup
		want string
	}{
		{store.Lookup{ID: "back", Name: "back", Tenant: "acme"}, before.ID},
		{store.Lookup{ID: theirs.ID, Name: theirs.ID, Tenant: "acme"}, theirs.ID},
		{store.Lookup{ID: before.ID, Name: before.ID, Tenant: "umbra"}, before.ID},
		{store.Lookup{ID: before.ID}, before.ID},
		{store.Lookup{Name: "kept", Tenant: "acme", Unclaimed: true}, kept.ID},
		{store.Lookup{Name: "kept", Tenant: "acme"}, ""},
		{store.Lookup{ID: thief.Name, Sees: "umbra"}, ""},
		{store.Lookup{}, ""},
	} {
		got, err := s.Find(t.Context(), c.look)
		if got.ID != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v; want %q", c.look, got.ID, err, c.want)
		}
	}
}

func list(t *testing.T, open Open) {
	s := open(t)
	// Two of each state, both created at one moment; of two owners, projects and blueprints.
	var all []fleet.Environment
	for i, state := range fleet.States() {
		for twin := range 2 {
			env := environment(2*i + twin)
			env.CreatedAt = base.Add(time.Duration(i) * time.Minute)
			if twin == 1 {
				env.Owner, env.Project, env.Blueprint.Name = "grace", "world", "deploy"
			}
			env = mustAdmit(t, s, env)
			for _, next := range paths[state] {
				env = mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State = next })
			}
			all = append(all, env)
		}
	}
	// newestFirst is the order that is wanted: created_at descending, then id.
	newestFirst := func(keep func(fleet.Environment) bool) (want []string) {
		for i := len(fleet.States()) - 1; i >= 0; i-- {
			for twin := range 2 {
				if env := all[2*i+twin]; keep(env) {
					want = append(want, env.ID)
				}
			}
		}
		return want
	}
	for _, c := range []struct {
		name   string
		filter store.Filter
		keep   func(fleet.Environment) bool
	}{
		{"live", store.Filter{}, func(e fleet.Environment) bool { return e.State.Live() }},
		{"all", store.Filter{IncludeGone: true}, func(fleet.Environment) bool { return true }},
		{"owner", store.Filter{Owner: "grace"}, func(e fleet.Environment) bool { return e.Owner == "grace" && e.State.Live() }},
		{"project", store.Filter{IncludeGone: true, Project: "hello"}, func(e fleet.Environment) bool { return e.Project == "hello" }},
		{"blueprint", store.Filter{IncludeGone: true, Blueprint: "deploy"}, func(e fleet.Environment) bool { return e.Blueprint.Name == "deploy" }},
		{"gone", store.Filter{States: []fleet.State{fleet.Destroyed}}, func(e fleet.Environment) bool { return e.State == fleet.Destroyed }},
		{
			"two states", store.Filter{States: []fleet.State{fleet.Leased, fleet.Failed}, Owner: "ada"},
			func(e fleet.Environment) bool {
				return (e.State == fleet.Leased || e.State == fleet.Failed) && e.Owner == "ada"
			},
		},
		{"nothing", store.Filter{Owner: "nobody"}, func(fleet.Environment) bool { return false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := newestFirst(c.keep)
			for _, limit := range []int{0, 1, 3, len(want), len(all), 1 << 30} {
				same(t, pages(t, s, c.filter, limit), want)
			}
		})
	}
	t.Run("bad filters", func(t *testing.T) {
		_, _, err := s.List(t.Context(), store.Filter{States: []fleet.State{"asleep"}})
		wantCode(t, err, fleet.CodeInvalid)
		for _, cursor := range []string{"!", "bm9wZQ", "bm90IGEgbnVtYmVy"} {
			_, _, err = s.List(t.Context(), store.Filter{Cursor: cursor})
			wantCode(t, err, fleet.CodeInvalid)
		}
	})
}

// pages reads a list to its end and gives its ids.
func pages(t *testing.T, s *store.Store, f store.Filter, limit int) (all []string) {
	t.Helper()
	f.Limit = limit
	for range 1000 {
		envs, next, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if limit > 0 && len(envs) > limit {
			t.Fatalf("a page of %d has %d", limit, len(envs))
		}
		all = append(all, ids(envs)...)
		if next == "" {
			return all
		}
		f.Cursor = next
	}
	t.Fatal("the list has no end")
	return nil
}
