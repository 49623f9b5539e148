package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/fleet"
)

// overdueAfter is how long an environment may be in destruction, or its lease be over without a destroy, before it is a warning.
const overdueAfter = 30 * time.Second

// removal sums up what is to go: how many, and which for longest.
type removal struct {
	count  int
	oldest fleet.Environment
	worst  late
}

func (r *removal) add(env fleet.Environment, known late) {
	if r.count++; r.count == 1 || known.since.Before(r.worst.since) {
		r.oldest, r.worst = env, known
	}
}

// text says how many there are and which is the oldest.
func (r *removal) text(now time.Time) string {
	cause := r.worst.cause
	if cause == "" {
		cause = "no attempt has ended yet"
	}
	return fmt.Sprintf("%d; the oldest is %s on host %s, for %s: %s",
		r.count, r.oldest.Name, r.oldest.Host, now.Sub(r.worst.since).Round(time.Second), cause)
}

// check tells how many environments are being deleted, and whether any should be gone by now: one whose destroy does
// not end, and one whose lease is over and that nobody destroys.
func (r remover) check(ctx context.Context) doctor.Check {
	c := doctor.Check{Name: "removing", Status: doctor.Warning}
	now := r.clock.Now()
	var going int
	var stuck, over removal
	err := r.cfg.Rows.Read(ctx, func(live []fleet.Environment) { going, stuck, over = r.removals(live, now) })
	if err != nil {
		c.Message, c.Hint = "the environments that are being deleted cannot be read: "+err.Error(), "see the check of the store"
		return c
	}
	switch {
	case stuck.count > 0:
		c.Message = fmt.Sprintf("environments that have been deleting for more than %s: %s", overdueAfter, stuck.text(now))
		if over.count > 0 {
			c.Message += fmt.Sprintf("; leases that are over and not ended: %s", over.text(now))
		}
		c.Hint = "bothy keeps trying; see: bothy why " + stuck.oldest.Name
	case over.count > 0:
		c.Message = fmt.Sprintf("leases that have been over for more than %s and are not ended: %s", overdueAfter, over.text(now))
		c.Hint = "see: bothy why " + over.oldest.Name + "; the other rows of bothy doctor tell what holds it back"
	case going > 0:
		c.Status, c.Message = doctor.OK, fmt.Sprintf("environments that are being deleted: %d, none for more than %s", going, overdueAfter)
	default:
		c.Status, c.Message = doctor.OK, "nothing is being deleted, and no lease is overdue"
	}
	return c
}

// removals sorts what is to go.
func (r remover) removals(live []fleet.Environment, now time.Time) (going int, stuck, over removal) {
	seen := map[string]bool{}
	for _, env := range live {
		switch {
		case env.State == fleet.Destroying:
			going++
			seen[env.ID] = true
			if known := r.overdue.see(env, now); now.Sub(known.since) >= overdueAfter {
				stuck.add(env, known)
			}
		case env.State == fleet.Leased && env.Lease.Expired(now):
			if since := env.Lease.Ends(); now.Sub(since) >= overdueAfter {
				over.add(env, late{since: since, cause: "no plan has ended it yet"})
			}
		}
	}
	r.overdue.keep(seen)
	return going, stuck, over
}
