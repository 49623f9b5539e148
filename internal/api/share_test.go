package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// named gives the column of that name.
func named(t *testing.T, name string) column {
	t.Helper()
	i := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("no column %q", name)
	}
	return columns[i]
}

// Whoever sees an environment and may not use it sees that it is there, how it is and what it costs, in every answer that holds
// one, and nothing that went into it.
func TestWhatWentIntoAnEnvironmentIsForWhoMayUseIt(t *testing.T) {
	w := newWorld(t)
	for _, c := range columns {
		if !c.member() {
			continue
		}
		for _, x := range w.envs {
			if !strings.HasPrefix(x.ref, "id:") || !c.finds(x) {
				continue
			}
			cl := w.as(c)
			answers := map[string]any{}
			note := func(what string, v any, err error) {
				if err != nil {
					t.Errorf("%s of %s by %s: %v", what, x.what, c.name, err)
				}
				answers[what] = v
			}
			env, err := cl.Get(limited(t), x.ref)
			note("show", env, err)
			if env.State != x.State || env.Cost.Currency == "" || env.Owner != x.Owner || env.MayUse != c.uses(x) {
				t.Errorf("%s sees %s as %+v", c.name, x.what, env)
			}
			why, err := cl.Why(limited(t), x.ref)
			note("why", why, err)
			var first wire.Update
			stop := &client.Error{Code: "stop"}
			err = cl.Watch(limited(t), x.ref, 0, func(u wire.Update) error { first = u; return stop })
			if errors.Is(err, stop) {
				err = nil
			}
			note("watch", first, err)
			all, err := cl.List(limited(t), client.ListOptions{All: true, AllTenants: c.user == "root"})
			all = slices.DeleteFunc(all, func(e wire.Environment) bool { return e.ID != x.ID })
			if note("ls", all, err); len(all) != 1 {
				t.Errorf("%s lists %s %d times", c.name, x.what, len(all))
			}
			for what, v := range answers {
				text, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				for _, inside := range []string{"to-users-only", `"hidden"`, `"inputs"`} {
					if strings.Contains(string(text), inside) != c.uses(x) {
						t.Errorf("%s of %s by %s, who may use it: %v: %s in %s", what, x.what, c.name, c.uses(x), inside, text)
					}
				}
			}
		}
	}
}

// A list of one's own holds nobody else's, whatever is shared and whoever asks.
func TestAListOfOnesOwn(t *testing.T) {
	w := newWorld(t)
	for name, want := range map[string][]string{
		"owner": {"open", "private", "shared"}, "same team": nil, "other team": nil, "other tenant": {"api"}, "platform": nil, "platform with a reason": nil,
	} {
		envs, err := w.as(named(t, name)).List(limited(t), client.ListOptions{Mine: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, env := range envs {
			got = append(got, env.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, c := range []string{"owner", "other tenant"} {
		if _, err := w.as(named(t, c)).List(limited(t), client.ListOptions{AllTenants: true}); client.CodeOf(err) != wire.CodePolicy {
			t.Errorf("all tenants' by %s: %v", c, err)
		}
	}
}

// The platform role is used on somebody's environment with a reason alone, which is on record with who and what before anything is
// done; the owner reads it.
func TestTheUseOfThePlatformRoleIsOnRecord(t *testing.T) {
	w := newWorld(t)
	root, ada := w.as(named(t, "platform with a reason")), w.as(named(t, "owner"))
	if _, err := root.Extend(limited(t), "acme/private", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := root.Logs(limited(t), "acme/private", time.Time{}, false, func(wire.LogLine) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Share(limited(t), "acme/private", "team"); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Release(limited(t), "acme/private"); err != nil {
		t.Fatal(err)
	}
	// Nothing of one's own is an override.
	if _, err := ada.Extend(limited(t), "open", time.Minute); err != nil {
		t.Fatal(err)
	}
	events, err := ada.NewestEvents(limited(t), client.EventOptions{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if e.Kind == "environment.override" || e.Actor == "root" {
			got = append(got, e.Kind+" "+e.Actor+": "+e.Message)
		}
	}
	want := []string{
		"environment.override root: root used the platform role to extend it: incident 42", "lease.extended root: ",
		"environment.override root: root used the platform role to read the log of it: incident 42",
		"environment.override root: root used the platform role to share it: incident 42", "environment.shared root: shared with team core (was nobody)",
		"environment.override root: root used the platform role to delete it: incident 42", "environment.released root: root gave it back",
	}
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("event %d: %q, want %q", i, got[i], want[i])
		}
	}
}

// A reason is one line of printable text, and is given once.
func TestAReasonIsText(t *testing.T) {
	w := newWorld(t)
	root := named(t, "platform")
	for reason, want := range map[string]int{"ü 1": 200, strings.Repeat("x", 200): 200, strings.Repeat("x", 201): 422, " ": 422, "a\tb": 422, "a\x80": 422} {
		c := root
		if c.because = reason; reason == "" {
			continue
		}
		if got := w.ask(c, "GET", w.base+"/v1/environments", ""); got.status != want {
			t.Errorf("reason %q: %d, want %d: %s", reason, got.status, want, got.body)
		}
	}
	if _, err := client.New(client.Options{Host: w.base, AsPlatform: "a\nb"}); client.CodeOf(err) != wire.CodeInvalid {
		t.Errorf("a reason of two lines: %v", err)
	}
}

// What somebody has open of an environment that was shared with them ends when it is not any more, and what only shows it goes on
// without what is for those who may use it. Whoever leaves the team loses both.
func TestLongAnswersEndWithTheShareThatAllowedThem(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *world){
		"it is not shared any more": func(t *testing.T, w *world) {
			if _, err := w.as(named(t, "owner")).Share(limited(t), "shared", "nobody"); err != nil {
				t.Fatal(err)
			}
		},
		"the team is another": func(t *testing.T, w *world) {
			replace(t, filepath.Join(w.dir, "organisation.yaml"), strings.NewReplacer("[ada, cat]", "[ada]", "[dan]", "[dan, cat]").Replace(related))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of it is waiting.
			w := newWorld(t, func(c *api.Config) { c.RecheckEvery = 10 * time.Millisecond })
			cat := w.as(named(t, "same team"))
			logged, watched := make(chan error, 1), make(chan error, 1)
			lines, updates := make(chan wire.LogLine, 1000), make(chan wire.Update, 1000)
			ctx, stop := context.WithCancel(limited(t))
			defer stop()
			go func() {
				logged <- cat.Logs(ctx, "shared", time.Time{}, true, func(l wire.LogLine) error { lines <- l; return nil })
			}()
			go func() {
				watched <- cat.Watch(ctx, "shared", 0, func(u wire.Update) error { updates <- u; return nil })
			}()
			receive(t, "a line of the log", lines)
			receive(t, "a look", updates)
			end(t, w)
			if err := receive(t, "the end of the log", logged); client.CodeOf(err) != wire.CodePolicy || !strings.Contains(err.Error(), "your access was revoked") {
				t.Errorf("the log ended with %v", err)
			}
			if name == "the team is another" {
				if err := receive(t, "the end of the watch", watched); client.CodeOf(err) != wire.CodePolicy || !strings.Contains(err.Error(), "your access was revoked") {
					t.Errorf("the watch ended with %v", err)
				}
				return
			}
			env, err := w.as(named(t, "owner")).Extend(limited(t), "shared", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for { // What only shows it goes on.
				select {
				case err := <-watched:
					t.Fatalf("the watch ended with %v", err)
				case u := <-updates:
					if u.Environment.Revision < env.Revision {
						continue
					}
					if u.Environment.MayUse || u.Environment.Vars != nil {
						t.Errorf("it may still be used: %+v", u.Environment)
					}
					return
				case <-time.After(patience):
					t.Fatal("the watch tells nothing any more")
				}
			}
		})
	}
}
