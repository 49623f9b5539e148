package daemon_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestWithoutACapability: a provider that lacks one makes, keeps, hands over, shows and removes environments all the same, and is
// never asked for what it does not declare, which the fake provider would tell.
func TestWithoutACapability(t *testing.T) {
	lack := map[string]func(*provisioner.Capabilities){
		"networks": func(can *provisioner.Capabilities) { can.Networks = false },
		"stage":    func(can *provisioner.Capabilities) { can.Stage = false },
		"pause":    func(can *provisioner.Capabilities) { can.Pause = false },
		"traffic":  func(can *provisioner.Capabilities) { can.Traffic = false },
		"counters": func(can *provisioner.Capabilities) { can.Counters = false },
		"usage":    func(can *provisioner.Capabilities) { can.Usage = false },
		"pressure": func(can *provisioner.Capabilities) { can.Pressure = false },
		"marks":    func(can *provisioner.Capabilities) { can.Marks = false },
		"kill":     func(can *provisioner.Capabilities) { can.Kill = false },
		"restart":  func(can *provisioner.Capabilities) { can.Restart = false },
		"watch":    func(can *provisioner.Capabilities) { can.Watch = false },
		"ports":    func(can *provisioner.Capabilities) { can.Ports = false },
		"any": func(can *provisioner.Capabilities) {
			*can = provisioner.Capabilities{SandboxKind: can.SandboxKind}
		},
	}
	for what, lack := range lack {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, fake.Options{Lack: lack}).run()
			can := b.world.Runtime().Capabilities()
			b.pool("builders", 1, func(p *fleet.Pool) { p.Pause = true })
			if warm := b.untilWarm(1)[0]; warm.Paused != can.Pause {
				t.Errorf("a warm one is paused: %v, and the provider pauses: %v", warm.Paused, can.Pause)
			}
			claimed := b.acquire(withCanary)
			if claimed.State != fleet.Leased || b.run1(claimed.ID, "cat", provisioner.SecretsDir+"/token") != canary {
				t.Errorf("it was handed over as %s, without its secret", claimed.State)
			}
			cold := b.untilState(b.acquire(withCanary, func(r *service.Request) { r.NoPool = true }).ID, fleet.Leased)
			if b.run1(cold.ID, "cat", provisioner.SecretsDir+"/token") != canary {
				t.Error("a cold one was handed over without its secret")
			}
			if got := b.engine.Usage(t.Context(), cold); (got == provisioner.Unknown()) == can.Usage {
				t.Errorf("it uses %+v, and the provider tells: %v", got, can.Usage)
			}
			b.sweeps()
			for _, env := range []fleet.Environment{claimed, cold} {
				b.release(env.ID)
			}
		})
	}
}

// TestASandboxThatNobodyCanStartAgainIsLost: its lease fails at once, with the cause, and it is taken away.
func TestASandboxThatNobodyCanStartAgainIsLost(t *testing.T) {
	b := setupOn(t, fake.Options{Lack: func(can *provisioner.Capabilities) { can.Restart = false }}, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.must(b.world.Stop(env.SandboxID, 3, "somebody stopped it"))
	gone := b.untilGone(env.ID)
	if gone.Failure == nil || gone.Failure.Sentence == "" {
		t.Errorf("it is gone with the failure %+v, want the cause", gone.Failure)
	}
}
