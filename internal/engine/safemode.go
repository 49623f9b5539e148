package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
)

// settingSafe is why nothing unknown is removed; empty when safe mode is off.
const settingSafe = "safe-mode"

// safeReason is why nothing unknown is removed, "" when it is.
func (e *Engine) safeReason(ctx context.Context) (string, error) {
	return e.store.Setting(ctx, settingSafe)
}

// beginSafely looks, before anything is done, whether the database is the one that this daemon knows. One
// that was lost or restored does not know all that exists, so nothing unknown is removed until somebody has
// decided on it. New environments are made, and those that are known live and end as ever.
func (e *Engine) beginSafely(ctx context.Context) error {
	reason, err := e.safeReason(ctx)
	if err != nil {
		return err
	}
	if reason == "" {
		if reason, err = e.setBack(ctx); err != nil {
			return err
		}
		if reason != "" {
			if err := e.store.SetSetting(ctx, settingSafe, reason); err != nil {
				return err
			}
			ev := fleet.Event{At: e.Now(), Actor: actorSelf, Kind: "safe-mode.on", Message: reason}
			if err := e.store.AppendEvents(ctx, ev); err != nil {
				return err
			}
		}
	}
	if reason != "" {
		e.logger.Warn("safe mode: nothing unknown is removed until somebody decides", "reason", reason, "next", "bothy orphans")
	}
	return e.saveMarks(ctx)
}

// setBack tells how the database is another one than this daemon knows; "" when it is not.
func (e *Engine) setBack(ctx context.Context) (string, error) {
	if known := e.cfg.KnownInstance; known != "" && known != e.cfg.Instance {
		return fmt.Sprintf("the database is of the installation %s, this daemon knows the installation %s: it was lost or replaced", e.cfg.Instance, known), nil
	}
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

// saveMarks keeps how far the records are, outside of the database.
func (e *Engine) saveMarks(ctx context.Context) error {
	if e.cfg.Marks == nil {
		return nil
	}
	events, receipts, err := e.store.Marks(ctx)
	if err != nil {
		return err
	}
	e.marks.mu.Lock()
	defer e.marks.mu.Unlock()
	if e.marks.events == events && e.marks.receipts == receipts {
		return nil
	}
	if err := e.cfg.Marks.Save(events, receipts); err != nil {
		return err
	}
	e.marks.events, e.marks.receipts = events, receipts
	return nil
}

// endSafeMode ends safe mode once nothing is left to decide on.
func (e *Engine) endSafeMode(ctx context.Context, who fleet.Identity) error {
	reason, err := e.safeReason(ctx)
	if err != nil || reason == "" {
		return err
	}
	left, err := e.store.Orphans(ctx)
	if err != nil || len(left) > 0 {
		return err
	}
	if err := e.store.SetSetting(ctx, settingSafe, ""); err != nil {
		return err
	}
	e.logger.Info("safe mode is over: everything that exists is known")
	return e.store.AppendEvents(ctx, fleet.Event{
		At: e.Now(), Actor: who.User, Kind: "safe-mode.off", Message: who.User + " decided on everything that was unknown",
	})
}

func (e *Engine) checkSafeMode(ctx context.Context) Check {
	reason, err := e.safeReason(ctx)
	switch {
	case err != nil:
		return Check{Name: "safe-mode", Status: Warning, Message: "whether safe mode is on cannot be read: " + err.Error(), Hint: "see the check of the store"}
	case reason != "":
		return Check{
			Name: "safe-mode", Status: Warning, Message: reason + "; nothing unknown is removed",
			Hint: "see what is unknown: bothy orphans; then bothy orphans adopt or bothy orphans purge",
		}
	}
	return Check{Name: "safe-mode", Status: OK, Message: "the database is the one that this daemon knows"}
}
