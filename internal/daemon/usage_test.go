package daemon_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestUsage: what an environment uses comes from its runtime; of one that is not ready, and where the runtime fails or does not
// answer, nothing is known, and nobody waits for that.
func TestUsage(t *testing.T) {
	b := setup(t, slowSweeps).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	want := provisioner.Usage{CPUs: 0.5, Memory: 200 << 20, Pids: 14, Disk: -1}
	if err := b.world.SetUsage(env.SandboxID, want); err != nil {
		t.Fatal(err)
	}
	is := func(what string, want provisioner.Usage, env fleet.Environment) {
		t.Helper()
		if diff := cmp.Diff(want, b.engine.Usage(t.Context(), env)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	is("of one that runs", want, env)
	pending := env
	pending.State = fleet.Pending
	is("of one that waits", provisioner.Unknown(), pending)
	elsewhere := env
	elsewhere.Host = "elsewhere"
	is("of one on another daemon's host", provisioner.Unknown(), elsewhere)
	b.inject(fake.Fault{Op: fake.OpUsage, Times: 1, Fail: &fake.Failure{Class: provisioner.Transient}})
	is("when it fails", provisioner.Unknown(), env)
	b.inject(fake.Fault{Op: fake.OpUsage, Times: 1, Delay: time.Hour})
	is("when it does not answer", provisioner.Unknown(), env)
	// Who asks at once may share the look that is just ending.
	waitUntil(t, "a look that is answered", func() bool { return b.engine.Usage(t.Context(), env) == want })
}
