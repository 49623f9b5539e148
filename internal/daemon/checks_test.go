package daemon_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// everyOp are the calls that a look at a host could make.
var everyOp = []fake.Op{
	fake.OpDriverReady, fake.OpPrepare, fake.OpRuntimeReady, fake.OpResolveImage, fake.OpInspect, fake.OpInventory, fake.OpReserve,
	fake.OpReconcile, fake.OpStage, fake.OpMark, fake.OpTraffic,
}

func (b *bench) calls() (n int) {
	for _, op := range everyOp {
		n += b.world.Calls(op)
	}
	return n
}

// looked waits until the prober has looked at everything, and all is well.
func (b *bench) looked() {
	b.t.Helper()
	waitUntil(b.t, "everything was looked at, and is well", func() bool {
		return !slices.ContainsFunc(b.engine.Doctor.Checks(b.t.Context()), func(c service.Check) bool { return c.Status != service.OK })
	})
}

// TestAThousandQuestionsCostAsMuchAsNone: whoever asks how the daemon is reads what its prober found. No host is asked for it, nothing
// is looked at for it, and it needs no database: whoever asks may have gone already.
func TestAThousandQuestionsCostAsMuchAsNone(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	b := setup(t, patient, slowSweeps, func(c *daemon.Config) {
		c.ExtraChecks = append(c.ExtraChecks, func(context.Context) service.Check {
			looks.Add(1)
			return service.Check{Name: "extra", Status: service.OK, Message: "fine"}
		})
	}).run()
	b.untilState(b.acquire().ID, fleet.Leased)
	b.looked()
	gone, leave := context.WithCancel(t.Context())
	leave()
	calls, before := b.calls(), looks.Load()
	for range 1000 {
		all := b.engine.Doctor.Checks(gone)
		for _, name := range []string{"store", "fake", "terraform", "leader", "hosts", "removing", "safe-mode", "faults", "extra"} {
			i := slices.IndexFunc(all, func(c service.Check) bool { return c.Name == name })
			if i < 0 || all[i].Status != service.OK || all[i].Age < 0 {
				t.Fatalf("the check %s is missing, or not well: %+v", name, all)
			}
		}
	}
	// The prober goes on meanwhile, every few seconds.
	if more := b.calls() - calls; more > 100 {
		t.Errorf("1000 questions made %d calls to the host", more)
	}
	if more := looks.Load() - before; more > 50 {
		t.Errorf("1000 questions made %d looks", more)
	}
}

// TestNothingKnownIsNotReady: before the first look no check is well, and says why.
func TestNothingKnownIsNotReady(t *testing.T) {
	b := setup(t)
	for _, c := range b.engine.Doctor.Checks(t.Context()) {
		if slices.Contains([]string{"store", "fake", "terraform", "leader"}, c.Name) && (c.Status != service.Down || c.Hint == "") {
			t.Errorf("%s is %+v", c.Name, c)
		}
	}
}

// TestALookThatHangsIsTold, and delays no other.
func TestALookThatHangsIsTold(t *testing.T) {
	t.Parallel()
	answer, others := make(chan struct{}), atomic.Int64{}
	b := setup(t, func(c *daemon.Config) {
		c.CheckEvery = c.Tick
		c.ExtraChecks = append(c.ExtraChecks, func(context.Context) service.Check {
			<-answer
			return service.Check{Name: "slow", Status: service.OK, Message: "fine"}
		}, func(context.Context) service.Check {
			others.Add(1)
			return service.Check{Name: "quick", Status: service.OK, Message: "fine"}
		})
	}).run()
	has := func(name, status, message string) func() bool {
		return func() bool {
			return slices.ContainsFunc(b.engine.Doctor.Checks(t.Context()), func(c service.Check) bool {
				return c.Name == name && c.Status == status && strings.Contains(c.Message, message)
			})
		}
	}
	waitUntil(t, "what hangs is told", has("machine", service.Down, "could not be looked at within"))
	before := others.Load()
	waitUntil(t, "the other is looked at again", func() bool { return others.Load() > before })
	close(answer)
	waitUntil(t, "the late answer counts", has("slow", service.OK, "fine"))
}
