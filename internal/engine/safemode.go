package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// settingSafe is the safety of the database in JSON; empty when it can be believed.
const settingSafe = "safe-mode"

// safety is whether the database can be believed. One that was lost or restored knows less than there is: what it
// calls warm may be in use, what it calls over may have been extended, and what it does not know may be somebody's.
type safety struct {
	// Reason is why it cannot be believed, "" when it can: nothing unknown is removed then.
	Reason string `json:"reason"`
	// Since is when that was found. What is older is left as it is, but for what people ask.
	Since time.Time `json:"since"`
}

// doubts reports whether an environment's row may not be what has become of it.
func (s safety) doubts(env *fleet.Environment) bool {
	return s.Reason != "" && env.CreatedAt.Before(s.Since)
}

// leased reports whether an environment is its holder's at a time: the end of a lease is not believed where it is doubted.
func (s safety) leased(env *fleet.Environment, at time.Time) bool {
	return env.State == fleet.Leased && (!env.Lease.Expired(at) || s.doubts(env))
}

func (e *Engine) safety(ctx context.Context) (safety, error) {
	return setting[safety](ctx, e, settingSafe, "whether the database can be believed")
}

// doubted is what work on an environment is told that safe mode leaves alone.
func (s safety) doubted() error {
	return &provisioner.Error{
		Class: provisioner.Transient, Op: "work on environment", Unavailable: true,
		Sentence: "safe mode: it is from before the database was lost or restored, and left as it is until somebody has decided: bothy orphans",
	}
}

// beginSafely looks, before anything is done, whether the database is the one that this daemon knows.
func (e *Engine) beginSafely(ctx context.Context) error {
	s, err := e.safety(ctx)
	if err != nil {
		return err
	}
	if s.Reason == "" {
		reason, err := e.setBack(ctx)
		if err == nil && reason != "" {
			s, err = e.enterSafeMode(ctx, reason)
		}
		if err != nil {
			return err
		}
	} else {
		e.tellSafe(s)
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
	reason, err := e.behind(ctx)
	if err != nil || reason == "" {
		return s, err
	}
	return e.enterSafeMode(ctx, reason)
}

// enterSafeMode leaves all that there is to people's decisions. Nothing warm of before is handed out from then on.
func (e *Engine) enterSafeMode(ctx context.Context, reason string) (safety, error) {
	s := safety{Reason: reason, Since: e.Now()}
	text, err := json.Marshal(s)
	if err != nil {
		return s, fmt.Errorf("encode safe mode: %w", err)
	}
	// Before it is on: should this be cut off, the next look begins again.
	if err := e.store.DistrustWarm(ctx, s.Since); err != nil {
		return s, err
	}
	if err := e.store.SetSetting(ctx, settingSafe, string(text)); err != nil {
		return s, err
	}
	e.store.ForgetSeen()
	e.tellSafe(s)
	return s, e.store.AppendEvents(ctx, fleet.Event{At: s.Since, Actor: actorSelf, Kind: "safe-mode.on", Message: reason})
}

func (e *Engine) tellSafe(s safety) {
	e.logger.Warn("safe mode: nothing of before is touched until somebody decides", "reason", s.Reason, "next", "bothy orphans")
}

// setBack tells how the database is another one than this daemon knows; "" when it is not.
func (e *Engine) setBack(ctx context.Context) (string, error) {
	if known := e.cfg.KnownInstance; known != "" && known != e.cfg.Instance {
		return fmt.Sprintf("the database is of the installation %s, this daemon knows the installation %s: it was lost or replaced", e.cfg.Instance, known), nil
	}
	return e.behind(ctx)
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
	if err := e.store.SetSetting(ctx, settingSafe, ""); err != nil {
		return err
	}
	nudge(e.planNudge)
	e.logger.Info("safe mode is over: everything that exists is known")
	return e.store.AppendEvents(ctx, fleet.Event{
		At: e.Now(), Actor: who.User, Kind: "safe-mode.off", Message: who.User + " decided on everything that was unknown",
	})
}

func (e *Engine) checkSafeMode(ctx context.Context) Check {
	s, err := e.safety(ctx)
	switch {
	case err != nil:
		return Check{Name: "safe-mode", Status: Warning, Message: "whether safe mode is on cannot be read: " + err.Error(), Hint: "see the check of the store"}
	case s.Reason != "":
		return Check{
			Name: "safe-mode", Status: Warning, Message: s.Reason + "; nothing unknown is removed, and what is older is left as it is",
			Hint: "see what is unknown: bothy orphans; then bothy orphans adopt --all, or bothy orphans purge",
		}
	}
	return Check{Name: "safe-mode", Status: OK, Message: "the database is the one that this daemon knows"}
}
