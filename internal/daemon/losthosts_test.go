package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// elsewhere makes another daemon, at an address, hold host r2 for the usual time.
func (b *bench) elsewhere(address string) {
	b.t.Helper()
	ctx, now := b.t.Context(), b.clock.Now()
	if err := b.db.DeclareHost(ctx, fleet.Host{Name: "r2", Capacity: fleet.Capacity{Environments: 5}, SeenAt: now}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.db.HoldHosts(ctx, store.Hold{Worker: "daemon-2.a", Address: address, Names: []string{"r2"}}, now, now.Add(15*time.Second)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) status(host string) service.HostStatus {
	b.t.Helper()
	all, err := b.engine.Hosts.List(context.Background(), platform)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range all {
		if h.Name == host {
			return h
		}
	}
	b.t.Fatalf("there is no host %s among %+v", host, all)
	return service.HostStatus{}
}

func (b *bench) check(name string) service.Check {
	b.t.Helper()
	for _, c := range b.engine.CheckNow(context.Background()) {
		if c.Name == name {
			return c
		}
	}
	b.t.Fatalf("there is no check %q", name)
	return service.Check{}
}

// kindsOf gives the kinds of a host's entries of the record.
func (b *bench) kindsOf(host string) string {
	b.t.Helper()
	events, err := b.engine.Events(b.t.Context(), platform, service.EventQuery{Host: host, Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		if e.EnvironmentID == "" {
			kinds = append(kinds, e.Kind)
		}
	}
	return strings.Join(kinds, " ")
}

// TestHostThatNobodyServesIsShown: from the end of its daemon's hold on it is shown as not served, by the list, by doctor
// and to those who wait; once it counts as lost, the record says so, once, and so when it is back.
func TestHostThatNobodyServesIsShown(t *testing.T) {
	b := setup(t, brisk, narrow).run().served()
	b.untilState(b.acquire().ID, fleet.Leased)
	b.elsewhere("")
	if h, c := b.status("r2"), b.check("hosts"); !h.Served || h.Lost || c.Status != service.OK {
		t.Fatalf("served by another daemon it is %+v; the check is %+v", h, c)
	}

	b.clock.advance(20 * time.Second)
	if h := b.status("r2"); h.Served || h.Lost {
		t.Errorf("after its hold's end it is %+v, want it not served", h)
	}
	env := b.acquire()
	const reason = "all hosts that can be used are full; host r2 is not served by a running daemon"
	b.until(env.ID, "told that r2 is closed", func(e fleet.Environment) bool { return e.Reason == reason })
	waitUntil(t, "doctor warns of r2 alone", func() bool {
		c := b.check("hosts")
		return c.Status == service.Warning && c.Message == "host r2 is not served by a running daemon now" && c.Hint != ""
	})

	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.clock.advance(fleet.LostAfter + time.Second)
		waitUntil(t, "the loss is in the record", func() bool { return strings.HasSuffix(b.kindsOf("r2"), "host.lost") })
		waitUntil(t, "doctor tells the loss", func() bool { return strings.HasPrefix(b.check("hosts").Message, "host r2 is lost: ") })
		b.elsewhere("")
		waitUntil(t, "that it is back is in the record", func() bool { return strings.HasSuffix(b.kindsOf("r2"), "host.found") })
	}
	if got := b.kindsOf("r2"); got != "host.lost host.found host.lost host.found" {
		t.Errorf("the record has %q", got)
	}
	if got := b.kindsOf("local"); got != "" {
		t.Errorf("of the host that was served all the time the record has %q", got)
	}

	// One that is meant to be gone is no news.
	b.clock.advance(fleet.LostAfter + time.Second)
	if _, err := b.engine.Hosts.Drain(t.Context(), platform, "r2", true); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "doctor is content", func() bool { return b.check("hosts").Status == service.OK })
}

// TestCleanStopShows: a host whose daemon stopped is not ready, and what stands there says so.
func TestCleanStopShows(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	if h := b.status("local"); h.Served || h.Lost {
		t.Errorf("it is %+v, want it not served", h)
	}
	if c := b.check("hosts"); c.Status != service.Warning || !strings.Contains(c.Message, "environments on it: 1") {
		t.Errorf("the check is %+v", c)
	}
	why, err := b.engine.Why(context.Background(), ann, env.ID)
	if err != nil || why.Cause != "it runs on host local, which no running daemon serves now" {
		t.Errorf("why: %q, %v", why.Cause, err)
	}
	gone, err := b.engine.Release(context.Background(), ann, env.ID)
	const reason = "released by ann; deleted once its host is back: it runs on host local, which no running daemon serves now"
	if err != nil || gone.State != fleet.Destroying || gone.Reason != reason {
		t.Errorf("given back it is %s, %q, %v", gone.State, gone.Reason, err)
	}
}

// TestHostOfAnotherDaemon: what lands on a host that only another daemon can reach is used through that daemon, and this
// one says where that is.
func TestHostOfAnotherDaemon(t *testing.T) {
	const address = "https://two.example:8443"
	b := setup(t, func(c *daemon.Config) { c.Advertise = "unix:///run/one.sock" }, unswept).run().served()
	first := b.engine
	if _, err := first.Hosts.Drain(t.Context(), platform, "local", true); err != nil {
		t.Fatal(err)
	}
	advertise := func(address string) func(*daemon.Config) {
		return func(c *daemon.Config) { c.Hosts[0].Name, c.Advertise = "r2", address }
	}
	b.engine = b.newEngine("daemon-2.a", advertise(address), unswept)
	b.run()
	second, stopSecond := b.engine, b.stop
	b.engine = first
	env := b.acquire()
	reached := func(state fleet.State) func() bool { // the engines do not hear of each other's changes at once
		return func() (is bool) {
			got, err := b.db.Get(t.Context(), env.ID)
			env = got
			return err == nil && got.State == state
		}
	}
	waitUntil(t, "it is handed over", reached(fleet.Leased))
	if env.Host != "r2" || b.status("r2").Address != address || first.Hosts.Elsewhere(t.Context(), "r2") != address || first.Hosts.Elsewhere(t.Context(), "local") != "" {
		t.Fatalf("it stands on %s, which is %+v", env.Host, b.status("r2"))
	}

	refusal := func() string {
		t.Helper()
		_, execErr := first.Exec(context.Background(), ann, env.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
		wantCode(t, execErr, fleet.CodeUnavailable)
		for name, err := range map[string]error{
			"copy in":  first.CopyTo(context.Background(), ann, env.ID, "", "", strings.NewReader("")),
			"copy out": func() error { _, err := first.CopyFrom(context.Background(), ann, env.ID, "/x", ""); return err }(),
			"logs":     first.Logs(context.Background(), ann, env.ID, time.Time{}, false, func(fleet.LogLine) error { return nil }),
		} {
			if hintOf(err) != hintOf(execErr) {
				t.Errorf("%s: %v (%s)", name, err, hintOf(err))
			}
		}
		return hintOf(execErr)
	}
	if got, want := refusal(), "ask the daemon that serves it: bothy --host "+address+" exec "+env.Name+" -- COMMAND; cp, shell and logs alike"; got != want {
		t.Errorf("hint %q, want %q", got, want)
	}
	if why, err := first.Why(t.Context(), ann, env.ID); err != nil || !strings.Contains(why.Next, "bothy --host "+address+" shell "+env.Name) {
		t.Errorf("why: %q, %v", why.Next, err)
	}
	if _, err := second.Exec(t.Context(), ann, env.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); err != nil {
		t.Errorf("through its own daemon: %v", err)
	}

	stopSecond()
	if got := refusal(); !strings.HasPrefix(got, "no running daemon serves it now") {
		t.Errorf("once that daemon has stopped, the hint is %q", got)
	}
	b.engine = b.newEngine("daemon-2.b", advertise("unix:///run/one.sock"))
	b.run()
	waitUntil(t, "it is served again", func() bool { return b.status("r2").Served })
	if got := refusal(); !strings.Contains(got, "set advertise") {
		t.Errorf("where both have one address, the hint is %q", got)
	}
	// What needs no host goes through any daemon.
	if _, err := first.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "it is gone", reached(fleet.Destroyed))
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		return e.Hint
	}
	return ""
}

// TestHostIsReplaced: a host that is gone for good holds what stood on it for ever, as nobody can look. When its name is
// given to another engine, that is found missing, ends with a receipt and frees its quota; should the old engine come back under
// another name, what is left on it goes.
func TestHostIsReplaced(t *testing.T) {
	b := setup(t, unending).run()
	used := b.untilState(b.acquire().ID, fleet.Leased)
	going := b.untilState(b.acquire(func(r *service.Request) { r.Name = "going" }).ID, fleet.Leased)
	b.stop()
	if _, err := b.engine.Release(context.Background(), ann, going.ID); err != nil {
		t.Fatal(err)
	}
	old := b.world
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	b.world = fake.New(fake.Options{Now: b.clock.Now, Key: key, Instance: instance, Like: like})
	b.clock.advance(2 * fleet.LostAfter)
	b.engine = b.newEngine("daemon-2.a", unending)
	b.run()
	for _, env := range []fleet.Environment{used, going} {
		b.untilGone(env.ID)
		if body := b.proof(env.ID); !lists(body, kindSandbox, env.SandboxID) {
			t.Errorf("the receipt of %s lists %+v", env.Name, body.Resources)
		}
	}
	usage, err := b.db.UsageOf(t.Context(), used.Scopes(), used.CreatedAt)
	if err != nil || usage[0].Usage.Environments != 0 {
		t.Errorf("%+v counts, %v; want nothing", usage[0].Usage, err)
	}
	b.stop()

	if len(listed(t, old)) == 0 {
		t.Fatal("nothing is left on the old engine, and the rest of the test shows nothing")
	}
	b.engine = b.newEngine("daemon-2.b", unending, func(c *daemon.Config) {
		c.Hosts = append(c.Hosts, hostOf("old", old))
	})
	b.run()
	waitUntil(t, "the old engine is clean", func() bool { return len(listed(t, old)) == 0 })
}

func listed(t *testing.T, w *fake.World) []provisioner.Found {
	t.Helper()
	all, err := provisioner.ListAll(t.Context(), w.Runtime(), provisioner.Selector{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
