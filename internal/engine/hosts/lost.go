package hosts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
)

// NoteMissed tells the record, once each, that a host is lost and that one is back. One that this daemon declares is not
// lost while it plans: it takes that over, and is late to only when it was asleep.
func (hs *Hosts) NoteMissed(ctx context.Context, hosts []fleet.Host, now time.Time) error {
	var errs []error
	for _, h := range hosts {
		lost := h.Lost(now)
		if lost == h.Missed || lost && hs.byName[h.Name] != nil {
			continue
		}
		ev := fleet.Event{At: now, Host: h.Name, Actor: journal.Self, Kind: "host.found", Message: "the host is served again, after it was lost"}
		if lost {
			ev.Kind = "host.lost"
			ev.Message = fmt.Sprintf("no daemon has served the host since %s; its environments stay as they are until a daemon serves it again", h.SeenAt.Format(time.RFC3339))
			hs.logger.Warn("a host is lost", "host", h.Name, "seen", h.SeenAt, "address", h.Address)
		}
		if err := hs.store.NoteHostMissed(ctx, h.Name, lost, now, ev); err != nil {
			errs = append(errs, fmt.Errorf("note host %s: %w", h.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Check tells of hosts that nobody serves. One that was drained and has nothing on it is meant to be gone.
func (hs *Hosts) Check(ctx context.Context) doctor.Check {
	check := doctor.Check{Name: "hosts", Status: doctor.OK, Message: "every host is served"}
	hosts, err := hs.store.Hosts(ctx)
	if err != nil {
		check.Status, check.Message, check.Hint = doctor.Warning, "the hosts cannot be read: "+err.Error(), "see the check of the store"
		return check
	}
	stands := map[string]int{}
	err = hs.cfg.Rows.Read(ctx, func(live []fleet.Environment) {
		for i := range live {
			stands[live[i].Host]++
		}
	})
	if err != nil {
		check.Status, check.Message, check.Hint = doctor.Warning, "cannot read what is on the hosts: "+err.Error(), "see the check of the store"
		return check
	}
	now := hs.clock.Now()
	var wrong []string
	for _, h := range hosts {
		if h.Served(now) || h.Drained && stands[h.Name] == 0 {
			continue
		}
		state := "is not served by a running daemon now"
		if h.Lost(now) {
			state = "is lost: no daemon has served it since " + h.SeenAt.Format(time.RFC3339)
		}
		if n := stands[h.Name]; n > 0 {
			state += fmt.Sprintf(" (environments on it: %d)", n)
		}
		wrong = append(wrong, fmt.Sprintf("host %s %s", h.Name, state))
	}
	if len(wrong) > 0 {
		check.Status, check.Message = doctor.Warning, strings.Join(wrong, "; ")
		check.Hint = "start a daemon that declares it; see: bothy host ls. If it never returns and is empty: bothy host drain HOST; " +
			"if it is not empty: declare its name for another engine, so that bothyd finds its environments missing"
	}
	return check
}
