package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/doctor"
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
	// text is the setting that it was read from.
	text string
}

// SafeMode keeps whether the database can be believed, by what this daemon and its state directory know of it.
type SafeMode struct {
	cfg  Config
	kept keptMarks
	// judging is held by whoever decides whether the database can be believed.
	judging sync.Mutex
}

// New makes it.
func New(c Config) *SafeMode { return &SafeMode{cfg: c} }

// Reason is why the database cannot be believed, "" when it can.
func (m *SafeMode) Reason(ctx context.Context) (string, error) {
	s, err := m.read(ctx)
	return s.Reason, err
}

// Safety is another text whenever it changes whether, and since when, the database can be believed.
func (m *SafeMode) Safety(ctx context.Context) (string, error) {
	s, err := m.read(ctx)
	return fmt.Sprint(s), err
}

func (m *SafeMode) read(ctx context.Context) (s safety, err error) {
	if s.text, err = m.cfg.Store.Setting(ctx, settingSafe); err != nil || s.text == "" {
		return s, err
	}
	if err := json.Unmarshal([]byte(s.text), &s); err != nil {
		return s, fmt.Errorf("read whether the database can be believed: %w", err)
	}
	return s, nil
}

// Begin looks, before anything is done, whether the database is the one that this daemon knows.
func (m *SafeMode) Begin(ctx context.Context) error {
	s, err := m.read(ctx)
	if err != nil {
		return err
	}
	switch {
	case s.Reason == "":
		s, err = m.enterWhen(ctx, func(ctx context.Context) (string, error) {
			if m.cfg.Restored != "" {
				return m.cfg.Restored, nil
			}
			return m.behind(ctx)
		})
	case !s.Rows:
		s, err = m.doubt(ctx, s, s)
	default:
		m.tell(s)
	}
	if err != nil {
		return err
	}
	return m.saveMarks(ctx, s)
}

// LookBehind turns safe mode on when the database has fallen behind while this daemon runs.
func (m *SafeMode) LookBehind(ctx context.Context) error {
	_, err := m.lookBehind(ctx)
	return err
}

// lookBehind turns safe mode on when the database has fallen behind while this daemon runs, as one that daemons share may be
// restored under them.
func (m *SafeMode) lookBehind(ctx context.Context) (safety, error) {
	s, err := m.read(ctx)
	if s.Reason != "" {
		m.cfg.Store.ForgetSeen() // another daemon may have turned it on
	}
	if err != nil || s.Reason != "" {
		return s, err
	}
	return m.enterWhen(ctx, m.behind)
}

// enterWhen turns safe mode on when there is a reason to.
func (m *SafeMode) enterWhen(ctx context.Context, why func(context.Context) (string, error)) (safety, error) {
	reason, err := why(ctx)
	if err != nil || reason == "" {
		return safety{}, err
	}
	// The sweeps of several hosts may find the same at the same time: the first says since when.
	m.judging.Lock()
	defer m.judging.Unlock()
	s, err := m.read(ctx)
	if err != nil || s.Reason != "" {
		return s, err
	}
	return m.enter(ctx, s, reason)
}

// enter leaves all that there is to people's decisions. Nothing warm of before is handed out from then on. When it is not as it
// was any more, somebody else has turned it on: to do so again would doubt what was asked for since.
func (m *SafeMode) enter(ctx context.Context, was safety, reason string) (safety, error) {
	return m.doubt(ctx, was, safety{Reason: reason, Since: m.cfg.Clock.Now()})
}

func (m *SafeMode) doubt(ctx context.Context, was, s safety) (safety, error) {
	s.Rows = true
	text, err := json.Marshal(s)
	if err != nil {
		return s, fmt.Errorf("encode safe mode: %w", err)
	}
	m.cfg.Store.ForgetSeen() // or the write would be refused as that of a database that was set back
	ev := fleet.Event{At: m.cfg.Clock.Now(), Actor: journal.Self, Kind: "safe-mode.on", Message: s.Reason}
	done, err := m.cfg.Store.Doubt(ctx, s.Since, settingSafe, was.text, string(text), ev)
	if err != nil || !done {
		return s, err
	}
	m.tell(s)
	m.cfg.Bus.Nudge(bus.Check)
	return s, nil
}

func (m *SafeMode) tell(s safety) {
	m.cfg.Logger.Warn("safe mode: nothing of before is touched until somebody decides", "reason", s.Reason, "next", "bothy orphans")
}

// End ends safe mode once nothing is left to decide on.
func (m *SafeMode) End(ctx context.Context, who fleet.Identity) error {
	s, err := m.read(ctx)
	if err != nil || s.Reason == "" {
		return err
	}
	left, err := m.cfg.Store.Orphans(ctx)
	if err != nil || len(left) > 0 {
		return err
	}
	doubted, err := m.cfg.Store.Doubted(ctx)
	if err != nil || len(doubted) > 0 {
		return err
	}
	if err := m.cfg.Store.SetSetting(ctx, settingSafe, ""); err != nil {
		return err
	}
	m.cfg.Bus.Nudge(bus.Plan)
	m.cfg.Logger.Info("safe mode is over: everything was decided on")
	return m.cfg.Store.AppendEvents(ctx, fleet.Event{
		At: m.cfg.Clock.Now(), Actor: who.User, Kind: "safe-mode.off", Message: who.User + " decided on everything that was unknown or doubted",
	})
}

// Check tells whether safe mode is on.
func (m *SafeMode) Check(ctx context.Context) doctor.Check {
	s, err := m.read(ctx)
	switch {
	case err != nil:
		return doctor.Check{Name: "safe-mode", Status: doctor.Warning, Message: "whether safe mode is on cannot be read: " + err.Error(), Hint: "see the check of the store"}
	case s.Reason != "":
		return doctor.Check{
			Name: "safe-mode", Status: doctor.Warning, Message: s.Reason + "; nothing unknown is removed, and what is from before is left as it is",
			Hint: "see what is to be decided: bothy orphans; then bothy orphans adopt ID or --all, or bothy orphans purge",
		}
	}
	return doctor.Check{Name: "safe-mode", Status: doctor.OK, Message: "the database is the one that this daemon knows"}
}
