package storetest

import (
	"slices"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// committed: whoever follows is told of each commit, and what it changed.
func committed(t *testing.T, open Open) {
	s := open(t)
	var mu sync.Mutex
	var told []store.Commit
	s.OnCommit(func(c store.Commit) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, c)
	})
	env := mustAdmit(t, s, environment(1))
	for _, c := range []struct {
		what            string
		do              func() error
		changed, logged string // "-" for none
	}{
		{"a change", func() error { mustChange(t, s, env.ID, func(e *fleet.Environment) { e.Reason = "other" }); return nil }, env.ID, "-"},
		{"a request", func() error { mustAdmit(t, s, environment(2)); return nil }, environment(2).ID, "-"},
		{"an event", func() error { return s.AppendEvents(t.Context(), fleet.Event{EnvironmentID: env.ID}) }, env.ID, "-"},
		{"an event of none", func() error { return s.AppendEvents(t.Context(), fleet.Event{Pool: "p"}) }, "", "-"},
		{"a line of log", func() error { return s.AppendLog(t.Context(), env.ID, []fleet.LogLine{{Text: "line"}}) }, "-", env.ID},
		{"a setting", func() error { return s.SetSetting(t.Context(), "name", "value") }, "-", "-"},
	} {
		told = nil
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		var changed, logged []string
		for _, one := range told {
			if one.All {
				t.Errorf("%s: all is said to have changed", c.what)
			}
			changed, logged = append(changed, one.Changed...), append(logged, one.Logged...)
		}
		for _, part := range []struct {
			what string
			got  []string
			want string
		}{{"changed", changed, c.changed}, {"logged", logged, c.logged}} {
			if part.want == "-" && len(part.got) > 0 || part.want != "-" && !slices.Equal(part.got, []string{part.want}) {
				t.Errorf("%s: %s are %q, want %q", c.what, part.what, part.got, part.want)
			}
		}
	}
}
