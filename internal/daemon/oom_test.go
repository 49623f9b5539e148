package daemon_test

import (
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// ooms are the events of a want of memory, in order.
func (b *bench) ooms(id string) (all []fleet.Event) {
	b.t.Helper()
	events, err := b.db.Events(b.t.Context(), id, 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == "environment.oom" {
			all = append(all, e)
		}
	}
	return all
}

// TestOOMOfABackgroundJob: a process that nobody waits for and that ran out of memory is in its environment's record, and why
// tells it; also where the runtime counts it and tells nothing.
func TestOOMOfABackgroundJob(t *testing.T) {
	needs(t, "counters", func(can provisioner.Capabilities) bool { return can.Counters })
	for name, kill := range map[string]func(b *bench, id string) error{
		"told":    func(b *bench, id string) error { return b.world.AddOOMKill(id) },
		"counted": func(b *bench, id string) error { return b.world.AddUntoldOOMKill(id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t).run()
			env := b.untilState(b.acquire().ID, fleet.Leased)
			if why, err := b.engine.Why(t.Context(), ann, env.ID); err != nil || strings.Contains(why.Cause, "memory") {
				t.Fatalf("why, before: %q, %v", why.Cause, err)
			}
			if err := kill(b, env.SandboxID); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "an event", func() bool { return len(b.ooms(env.ID)) == 1 })
			if e := b.ooms(env.ID)[0]; !strings.Contains(e.Message, "killed 1 process (size small has 1024 MiB)") {
				t.Errorf("the event says %q", e.Message)
			}
			why, err := b.engine.Why(t.Context(), ann, env.ID)
			if err != nil || !strings.Contains(why.Cause, "it ran out of memory at ") {
				t.Errorf("why: %q, %v", why.Cause, err)
			}
		})
	}
}

// TestOOMAfterARestart: a daemon that is started anew tells what was not told, and nothing twice.
func TestOOMAfterARestart(t *testing.T) {
	needs(t, "counters", func(can provisioner.Capabilities) bool { return can.Counters })
	b := setup(t).run()
	env, second := b.untilState(b.acquire().ID, fleet.Leased), b.untilState(b.acquire().ID, fleet.Leased)
	if err := b.world.AddOOMKill(env.SandboxID); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "an event", func() bool { return len(b.ooms(env.ID)) == 1 })
	b.stop()
	if err := b.world.AddUntoldOOMKill(second.SandboxID); err != nil {
		t.Fatal(err)
	}
	b.engine = b.newEngine("daemon-1.b")
	b.run()
	waitUntil(t, "an event of the other", func() bool { return len(b.ooms(second.ID)) == 1 })
	if n := len(b.ooms(env.ID)); n != 1 {
		t.Errorf("%d events of what was told before the restart, want 1", n)
	}
}
