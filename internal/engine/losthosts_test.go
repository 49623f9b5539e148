package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/fleet"
)

// elsewhere makes another daemon, at an address, hold host r2 for the usual time.
func (b *bench) elsewhere(address string) {
	b.t.Helper()
	ctx, now := b.t.Context(), b.clock.Now()
	if err := b.db.DeclareHost(ctx, fleet.Host{Name: "r2", Capacity: fleet.Capacity{Environments: 5}, SeenAt: now}); err != nil {
		b.t.Fatal(err)
	}
	if _, _, err := b.db.HoldHosts(ctx, "daemon-2.a", address, []string{"r2"}, now, now.Add(15*time.Second)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) status(host string) engine.HostStatus {
	b.t.Helper()
	all, err := b.engine.Hosts(context.Background(), platform)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range all {
		if h.Name == host {
			return h
		}
	}
	b.t.Fatalf("there is no host %s among %+v", host, all)
	return engine.HostStatus{}
}

func (b *bench) check(name string) engine.Check {
	b.t.Helper()
	for _, c := range b.engine.Checks(context.Background()) {
		if c.Name == name {
			return c
		}
	}
	b.t.Fatalf("there is no check %q", name)
	return engine.Check{}
}

// kindsOf gives the kinds of a host's entries of the record.
func (b *bench) kindsOf(host string) string {
	b.t.Helper()
	events, err := b.engine.Events(b.t.Context(), platform, engine.EventQuery{Host: host, Limit: 100})
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
	if h, c := b.status("r2"), b.check("hosts"); !h.Served || h.Lost || c.Status != engine.OK {
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
		return c.Status == engine.Warning && c.Message == "host r2 is not served by a running daemon now" && c.Hint != ""
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
	if _, err := b.engine.DrainHost(t.Context(), platform, "r2", true); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "doctor is content", func() bool { return b.check("hosts").Status == engine.OK })
}

// TestCleanStopShows: a host whose daemon stopped is not ready, and what stands there says so.
func TestCleanStopShows(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	if h := b.status("local"); h.Served || h.Lost {
		t.Errorf("it is %+v, want it not served", h)
	}
	if c := b.check("hosts"); c.Status != engine.Warning || !strings.Contains(c.Message, "environments on it: 1") {
		t.Errorf("the check is %+v", c)
	}
	why, err := b.engine.Why(context.Background(), ann, env.ID)
	if err != nil || why.Cause != "it stands on host local, which no running daemon serves now" {
		t.Errorf("why: %q, %v", why.Cause, err)
	}
}
