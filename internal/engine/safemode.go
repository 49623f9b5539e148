package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
)

// settingSafe is the safety of the database in JSON; empty when it can be believed.
const settingSafe = "safe-mode"

// safety is whether the database can be believed. One that was lost or restored knows less than there is: what it
// calls warm may be in use, what it calls over may have been extended, and what it does not know may be somebody's.
type safety struct {
	// Reason is why it cannot be believed, "" when it can: nothing unknown is removed then.
	Reason string `json:"reason"`
	// Since is when that was found. What is older is doubted, and left as it is but for what people ask.
	Since time.Time `json:"since"`
	// Rows says that the rows of what is older are marked as doubted, which earlier versions did not.
	Rows bool `json:"rows"`
}

// leasedAt reports whether an environment is its holder's at a time: the end of a lease is not believed where it is doubted.
func leasedAt(env *fleet.Environment, at time.Time) bool {
	return env.State == fleet.Leased && (!env.Lease.Expired(at) || env.Doubted)
}

func (e *Engine) safety(ctx context.Context) (safety, error) {
	return journal.Setting[safety](ctx, e.store, settingSafe, "whether the database can be believed")
}

// beginSafely looks, before anything is done, whether the database is the one that this daemon knows.
func (e *Engine) beginSafely(ctx context.Context) error {
	s, err := e.safety(ctx)
	if err != nil {
		return err
	}
	switch {
	case s.Reason == "":
		s, err = e.enterWhen(ctx, func(ctx context.Context) (string, error) {
			if e.cfg.Restored != "" {
				return e.cfg.Restored, nil
			}
			return e.behind(ctx)
		})
	case !s.Rows:
		s, err = e.doubt(ctx, s)
	default:
		e.tellSafe(s)
	}
	if err != nil {
		return err
	}
	return e.saveMarks(ctx, s)
}

// lookBehind turns safe mode on when the database has fallen behind while this daemon runs, as one that daemons share may be
// restored under them.
func (e *Engine) lookBehind(ctx context.Context) (safety, error) {
	s, err := e.safety(ctx)
	if s.Reason != "" {
		e.store.ForgetSeen() // another daemon may have turned it on
	}
	if err != nil || s.Reason != "" {
		return s, err
	}
	return e.enterWhen(ctx, e.behind)
}

// enterWhen turns safe mode on when there is a reason to.
func (e *Engine) enterWhen(ctx context.Context, why func(context.Context) (string, error)) (safety, error) {
	reason, err := why(ctx)
	if err != nil || reason == "" {
		return safety{}, err
	}
	// The sweeps of several hosts may find the same at the same time: the first says since when.
	e.judging.Lock()
	defer e.judging.Unlock()
	if s, err := e.safety(ctx); err != nil || s.Reason != "" {
		return s, err
	}
	return e.enterSafeMode(ctx, reason)
}

// enterSafeMode leaves all that there is to people's decisions. Nothing warm of before is handed out from then on.
func (e *Engine) enterSafeMode(ctx context.Context, reason string) (safety, error) {
	return e.doubt(ctx, safety{Reason: reason, Since: e.Now()})
}

func (e *Engine) doubt(ctx context.Context, s safety) (safety, error) {
	s.Rows = true
	text, err := json.Marshal(s)
	if err != nil {
		return s, fmt.Errorf("encode safe mode: %w", err)
	}
	e.store.ForgetSeen() // or the write would be refused as that of a database that was set back
	ev := fleet.Event{At: e.Now(), Actor: journal.Self, Kind: "safe-mode.on", Message: s.Reason}
	if err := e.store.Doubt(ctx, s.Since, settingSafe, string(text), ev); err != nil {
		return s, err
	}
	e.tellSafe(s)
	e.bus.Nudge(bus.Check)
	return s, nil
}

func (e *Engine) tellSafe(s safety) {
	e.logger.Warn("safe mode: nothing of before is touched until somebody decides", "reason", s.Reason, "next", "bothy orphans")
}

// endSafeMode ends safe mode once nothing is left to decide on.
func (e *Engine) endSafeMode(ctx context.Context, who fleet.Identity) error {
	s, err := e.safety(ctx)
	if err != nil || s.Reason == "" {
		return err
	}
	left, err := e.store.Orphans(ctx)
	if err != nil || len(left) > 0 {
		return err
	}
	doubted, err := e.store.Doubted(ctx)
	if err != nil || len(doubted) > 0 {
		return err
	}
	if err := e.store.SetSetting(ctx, settingSafe, ""); err != nil {
		return err
	}
	e.bus.Nudge(bus.Plan)
	e.logger.Info("safe mode is over: everything was decided on")
	return e.store.AppendEvents(ctx, fleet.Event{
		At: e.Now(), Actor: who.User, Kind: "safe-mode.off", Message: who.User + " decided on everything that was unknown or doubted",
	})
}

func (e *Engine) checkSafeMode(ctx context.Context) Check {
	s, err := e.safety(ctx)
	switch {
	case err != nil:
		return Check{Name: "safe-mode", Status: Warning, Message: "whether safe mode is on cannot be read: " + err.Error(), Hint: "see the check of the store"}
	case s.Reason != "":
		return Check{
			Name: "safe-mode", Status: Warning, Message: s.Reason + "; nothing unknown is removed, and what is from before is left as it is",
			Hint: "see what is to be decided: bothy orphans; then bothy orphans adopt ID or --all, or bothy orphans purge",
		}
	}
	return Check{Name: "safe-mode", Status: OK, Message: "the database is the one that this daemon knows"}
}
