package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// billOff is how far the time that the ledger charges may be from the time in which containers existed.
const billOff = 2 * time.Second

// TestTheBillIsWhatExisted: a daemon that makes and removes slowly dies at random and stays away for a while. Each environment
// is charged for the time in which the provider's own events say that something of it existed, and for no other.
func TestTheBillIsWhatExisted(t *testing.T) {
	t.Parallel()
	chance := seeded(t)
	kills := pick(6, 40)
	h := mustHouse(t, setup{daemons: 1})
	for _, slow := range []fake.Fault{
		// A kill falls between a container's beginning or end and its record as often as into anything else.
		{Op: fake.OpCreate, Stage: fake.Before, Times: fake.Always, Every: 2, Delay: 300 * time.Millisecond},
		{Op: fake.OpCreate, Stage: fake.After, Times: fake.Always, Delay: 400 * time.Millisecond},
		{Op: fake.OpDestroy, Stage: fake.Half, Times: fake.Always, Delay: 200 * time.Millisecond},
	} {
		if _, err := h.world.Inject(slow); err != nil {
			t.Fatal(err)
		}
	}
	s := &script{h: h}
	d := h.daemons[0]
	load := startLoad(t.Context(), h, 4, chance)
	for range kills {
		time.Sleep(time.Duration(200+chance.IntN(1500)) * time.Millisecond)
		away := time.Duration(chance.IntN(pick(3000, 5000))) * time.Millisecond
		if err := d.killThen(func() error { time.Sleep(away); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	load.end(t, s)
	if err := h.releaseAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := until(t.Context(), "all is gone", func() (bool, string, error) {
		live, err := h.live(t.Context())
		return err == nil && len(live) == 0, describe(live), err
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.killed() < kills/2 {
		t.Errorf("only %d of %d kills met a daemon", h.killed(), kills)
	}
	wrong, err := h.checkBills(t.Context())
	more, e := h.checkLedger(t.Context())
	if err != nil || e != nil {
		t.Error(err, e)
	}
	for _, w := range append(wrong, more...) {
		t.Error(w)
	}
}

// killThen ends the present process by SIGKILL, does something, and only then lets the next one begin.
func (d *daemon) killThen(do func() error) error {
	// Its end is noted, and the next one started, under the lock.
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return do()
	}
	pid := d.cmd.Process.Pid
	if err := d.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	for syscall.Kill(pid, 0) == nil { // until it was waited for
		time.Sleep(time.Millisecond)
	}
	return do()
}

// checkBills compares what each environment was charged for with the provider's own events.
func (h *house) checkBills(ctx context.Context) (wrong []string, err error) {
	lives, err := h.world.Lives()
	if err != nil {
		return nil, err
	}
	bills, err := h.bills(ctx, lives)
	for _, b := range bills {
		if b.env.State == fleet.Destroyed && b.off().Abs() > billOff {
			wrong = append(wrong, b.String())
		}
	}
	if err == nil && len(lives) == 0 {
		wrong = append(wrong, fmt.Sprintf("nothing existed of %d environments", len(bills)))
	}
	return wrong, err
}

// bills gives what each environment was charged for, beside what of it existed.
func (h *house) bills(ctx context.Context, lives []fake.Life) (bills []bill, err error) {
	of := map[string][]fake.Life{}
	for _, l := range lives {
		of[l.Environment] = append(of[l.Environment], l)
	}
	envs, err := h.everything(ctx)
	if err != nil {
		return nil, err
	}
	for _, env := range envs {
		entries, err := h.store.EntriesBy(ctx, store.EntryFilter{EnvironmentID: env.ID})
		if err != nil {
			return nil, err
		}
		b := bill{env: env, charged: timeOf(entries), lives: of[env.ID]}
		for _, l := range b.lives {
			b.existed += l.Until.Sub(l.From)
		}
		bills = append(bills, b)
	}
	return bills, nil
}

// timeOf adds up the time that entries charge.
func timeOf(entries []ledger.Entry) (sum time.Duration) {
	for _, e := range entries {
		if e.Credit == ledger.AccountCapacity {
			sum += e.Until.Sub(e.From)
		}
	}
	return sum
}
