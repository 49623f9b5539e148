package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
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

// behind tells how the database's records end before what this daemon has seen; "" when they do not.
func (e *Engine) behind(ctx context.Context) (string, error) {
	if e.cfg.Marks == nil {
		return "", nil
	}
	knownEvents, knownReceipts, err := e.cfg.Marks.Load()
	if err != nil {
		return "", err
	}
	events, receipts, err := e.store.Marks(ctx)
	if err != nil {
		return "", err
	}
	if events < knownEvents || receipts < knownReceipts {
		return fmt.Sprintf("the database was lost or restored: it ends at event %d and receipt %d, this daemon has seen event %d and receipt %d",
			events, receipts, knownEvents, knownReceipts), nil
	}
	return "", nil
}

// savedMarks are what this process saved last.
type savedMarks struct {
	mu               sync.Mutex
	events, receipts int64
}

// saveMarks keeps how far the records are, outside of the database. In safe mode alone they may go back.
func (e *Engine) saveMarks(ctx context.Context, s safety) error {
	if e.cfg.Marks == nil {
		return nil
	}
	events, receipts, err := e.store.Marks(ctx)
	if err != nil {
		return err
	}
	e.marks.mu.Lock()
	defer e.marks.mu.Unlock()
	behind := events < e.marks.events || receipts < e.marks.receipts
	if e.marks.events == events && e.marks.receipts == receipts || behind && s.Reason == "" {
		return nil
	}
	if err := e.cfg.Marks.Save(events, receipts); err != nil {
		return err
	}
	e.marks.events, e.marks.receipts = events, receipts
	return nil
}

// leaveMarks saves the marks once more at the end of ctx, so that nothing of what was done since the last sweep is missed.
func (e *Engine) leaveMarks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	s, err := e.lookBehind(ctx)
	if err == nil {
		err = e.saveMarks(ctx, s)
	}
	if err != nil {
		e.logger.Warn("how far the records are could not be kept; should the database be restored, safe mode may come late", "error", err)
	}
}

// leaveFor bounds each of the last writes of a daemon that stops.
const leaveFor = 5 * time.Second

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
			Hint: "see what is unknown: bothy orphans; then bothy orphans adopt or bothy orphans purge",
		}
	}
	return Check{Name: "safe-mode", Status: OK, Message: "the database is the one that this daemon knows"}
}
