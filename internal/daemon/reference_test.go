package daemon_test

import (
	"errors"
	"io"
	"regexp"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// keeper is of the platform and of another tenant than ann.
var keeper = fleet.Identity{User: "kim", Tenant: "elsewhere", Team: fleet.DefaultTeam, Teams: []string{fleet.DefaultTeam}, Role: fleet.RolePlatform}

// thieve puts a row there that is named like an id, as older versions allowed.
func (b *bench) thieve(like fleet.Environment, tenant string, gone bool) fleet.Environment {
	b.t.Helper()
	row := like
	row.ID, row.Name, row.Tenant, row.Owner, row.IdempotencyKey = daemon.NewID()+daemon.NewID(), like.ID, tenant, "wil", ""
	row.State, row.Work = fleet.Pending, fleet.Work{Action: fleet.Create, NotBefore: b.clock.Now().Add(1000 * time.Hour)}
	row.Lease.Start, row.Lease.End, row.CreatedAt = time.Time{}, time.Time{}, b.clock.Now().Add(time.Minute)
	a, err := b.db.Admit(b.t.Context(), store.Admission{Env: row, Event: fleet.Event{At: b.clock.Now(), EnvironmentID: row.ID, Tenant: tenant, Kind: "environment.requested"}})
	if err != nil {
		b.t.Fatal(err)
	}
	if !gone {
		return a.Env
	}
	// The plan may have begun it meanwhile: from there no step leads to its end but this.
	for _, end := range []func(*fleet.Environment){
		func(e *fleet.Environment) {
			e.State, e.Work = fleet.Destroying, fleet.Work{Action: fleet.Destroy, NotBefore: b.clock.Now().Add(1000 * time.Hour)}
		},
		func(e *fleet.Environment) {
			e.State, e.Work, e.DestroyedAt = fleet.Destroyed, fleet.Work{}, b.clock.Now()
		},
	} {
		if _, err := b.db.Change(b.t.Context(), a.Env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			end(e)
			return store.Writes{}, nil
		}); err != nil {
			b.t.Fatal(err)
		}
	}
	return a.Env
}

func TestANameWithAnIdsFormIsRefused(t *testing.T) {
	b := setup(t)
	_, err := b.engine.Acquire(t.Context(), service.Request{Who: ann, Name: "4eiks6crmcptodxg"})
	wantCode(t, err, fleet.CodeInvalid)
	if _, err := b.engine.Acquire(t.Context(), service.Request{Who: ann, Name: "4eiks6crmcptodx8"}); err != nil {
		t.Errorf("8 is in no id: %v", err)
	}
	// What is made up has a dash, which no id has.
	if env := b.acquire(); fleet.IsID(env.Name) || !regexp.MustCompile(`^[a-z]+-[a-z]+-[0-9]+$`).MatchString(env.Name) {
		t.Errorf("made up: %s", env.Name)
	}
}

// Whatever somebody named an environment in an older version, an id stays that environment's: for every use, for
// members and the platform.
func TestAnIdIsNeverTakenOverByAName(t *testing.T) {
	for name, c := range map[string]struct {
		tenant string
		gone   bool
	}{
		"a live one of the own tenant": {fleet.DefaultTenant, false},
		"a gone one of the own tenant": {fleet.DefaultTenant, true},
		"a live one of another tenant": {"elsewhere", false},
		"a gone one of another tenant": {"elsewhere", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t).run()
			env := b.untilState(b.acquire().ID, fleet.Leased)
			thief := b.thieve(env, c.tenant, c.gone)
			stranger := keeper
			stranger.Because = operator.Because
			for _, who := range []fleet.Identity{ann, operator, stranger} {
				for _, ref := range []string{env.ID, fleet.ByID + env.ID, fleet.DefaultTenant + "/" + env.ID} {
					b.usesOf(who, ref, env.ID)
				}
			}
			if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
				t.Fatal(err)
			}
			b.untilState(env.ID, fleet.Destroyed)
			// A gone one's id is still its own.
			for _, who := range []fleet.Identity{ann, platform, keeper} {
				if got, err := b.engine.Find(t.Context(), who, env.ID); err != nil || got.ID != env.ID {
					t.Errorf("gone, by %s: %s, %v", who.User, got.ID, err)
				}
				if r, err := b.engine.Receipt(t.Context(), who, env.ID); err != nil || r.EnvironmentID != env.ID {
					t.Errorf("receipt for %s: of %s, %v", who.User, r.EnvironmentID, err)
				}
			}
			// "id:" means ids only: no name of whomever answers to it.
			if _, err := b.engine.Find(t.Context(), ann, fleet.ByID+thief.ID+"x"); fleet.CodeOf(err) != fleet.CodeNotFound {
				t.Errorf("an id that is none: %v", err)
			}
		})
	}
}

// usesOf checks that every way to use an environment reaches the one of that id.
func (b *bench) usesOf(who fleet.Identity, ref, id string) {
	b.t.Helper()
	ctx := b.t.Context()
	enough := errors.New("enough")
	var seen []string
	note := func(env fleet.Environment, err error) {
		b.t.Helper()
		if err != nil {
			b.t.Errorf("%s, %s: %v", who.User, ref, err)
		}
		seen = append(seen, env.ID)
	}
	note(b.engine.Find(ctx, who, ref))
	note(b.engine.Extend(ctx, who, ref, time.Second))
	note(b.engine.Touch(ctx, who, ref))
	why, err := b.engine.Why(ctx, who, ref)
	note(why.Env, err)
	err = b.engine.Watch(ctx, who, ref, 0, func(env fleet.Environment, _ []fleet.Event) error { seen = append(seen, env.ID); return enough })
	if !errors.Is(err, enough) {
		b.t.Errorf("watch: %v", err)
	}
	events, err := b.engine.Events(ctx, who, service.EventQuery{Environment: ref, Limit: 100})
	if err != nil || len(events) == 0 {
		b.t.Errorf("events: %d, %v", len(events), err)
	}
	for _, e := range events {
		seen = append(seen, e.EnvironmentID)
	}
	// The thief is not ready for use, so these fail when it is reached.
	if _, err := b.engine.Exec(ctx, who, ref, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); err != nil {
		b.t.Errorf("exec: %v", err)
	}
	if r, err := b.engine.CopyFrom(ctx, who, ref, "/workspace", ""); err == nil {
		_ = r.Close() // only opened
	} else if unfit(err) {
		b.t.Errorf("copy out: %v", err)
	}
	if err := b.engine.CopyTo(ctx, who, ref, "", "", io.LimitReader(nil, 0)); unfit(err) {
		b.t.Errorf("copy in: %v", err)
	}
	if err := b.engine.Logs(ctx, who, ref, time.Time{}, false, func(fleet.LogLine) error { return nil }); err != nil {
		b.t.Errorf("logs: %v", err)
	}
	for _, got := range seen {
		if got != id {
			b.t.Errorf("%s by %s reached %s, want %s", ref, who.User, got, id)
		}
	}
}

// A name means the caller's own tenant, for the platform role as well; another's must be named.
func TestANameMeansTheOwnTenant(t *testing.T) {
	b := setup(t)
	mine := b.acquire(func(r *service.Request) { r.Name = "web" })
	theirs := b.acquire(func(r *service.Request) { r.Name, r.Who = "web", stranger })
	only := b.acquire(func(r *service.Request) { r.Name, r.Who = "only", stranger })
	for _, c := range []struct {
		who  fleet.Identity
		ref  string
		want string
	}{
		{ann, "web", mine.ID},
		{stranger, "web", theirs.ID},
		{platform, "web", mine.ID},
		{keeper, "web", theirs.ID},
		{platform, "only", ""},
		{platform, "elsewhere/web", theirs.ID},
		{platform, "elsewhere/only", only.ID},
		{platform, only.ID, only.ID},
		{platform, "default/" + only.ID, ""},
		{ann, "default/web", mine.ID},
		{ann, "elsewhere/web", ""},
		{ann, "elsewhere/" + only.ID, ""},
		{ann, only.ID, ""},
		{ann, fleet.ByID + only.ID, ""},
		{ann, fleet.ByID + "web", ""},
		{platform, "/web", mine.ID},
		{fleet.Identity{User: "mal"}, "web", ""},
	} {
		got, err := b.engine.Find(t.Context(), c.who, c.ref)
		if got.ID != c.want || (fleet.CodeOf(err) == fleet.CodeNotFound) != (c.want == "") {
			t.Errorf("%s of %s: %s, %v; want %s", c.ref, c.who.User, got.Name, err, c.want)
		}
	}
	for _, c := range []struct {
		who  fleet.Identity
		sel  service.Selection
		want int
		code fleet.Code
	}{
		{ann, service.Selection{}, 1, ""},
		{platform, service.Selection{}, 1, ""},
		{keeper, service.Selection{}, 2, ""},
		{platform, service.Selection{AllTenants: true}, 3, ""},
		{platform, service.Selection{Filter: service.Filter{Tenant: "elsewhere"}}, 2, ""},
		{ann, service.Selection{Filter: service.Filter{Tenant: "elsewhere"}}, 0, ""},
		{ann, service.Selection{AllTenants: true}, 1, ""}, // that it is for the platform role is the route's to say
	} {
		got, _, err := b.engine.Environments.List(t.Context(), c.who, c.sel)
		if len(got) != c.want || fleet.CodeOf(err) != c.code {
			t.Errorf("%s lists %+v: %d, %v; want %d", c.who.User, c.sel, len(got), err, c.want)
		}
	}
}

// unfit reports whether an error says that an environment cannot be used, or not yet.
func unfit(err error) bool {
	return fleet.CodeOf(err) == fleet.CodeConflict || fleet.CodeOf(err) == fleet.CodeNotReady
}
