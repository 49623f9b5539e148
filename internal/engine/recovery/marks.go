package recovery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
)

// Marks remembers, outside of the database, how far its records were.
type Marks interface {
	// Load gives the numbers that were saved last, zeros when none were.
	Load() (events, receipts int64, err error)
	// Save keeps them forever.
	Save(events, receipts int64) error
	// Note keeps them for as long as the machine runs, which takes no time. It is for what ends with the machine, as a
	// sandbox does.
	Note(events, receipts int64) error
}

// highWater is the high-water mark of the records, how far they are: the numbers of the last event and of the last receipt.
type highWater struct{ events, receipts int64 }

// keptMarks are what this process kept last.
type keptMarks struct {
	mu sync.Mutex
	highWater
	// saved says that they were saved, and not only noted.
	saved bool
}

// behind tells how the database's records end before what this daemon has seen; "" when they do not.
func (m *SafeMode) behind(ctx context.Context) (string, error) {
	known, err := m.knownEnd()
	if err != nil {
		return "", err
	}
	return m.before(ctx, known, "this daemon has seen")
}

// before tells how the database's records end before what somebody knows; "" when they do not.
func (m *SafeMode) before(ctx context.Context, known highWater, whoKnows string) (string, error) {
	events, receipts, err := m.cfg.Store.Marks(ctx)
	if err != nil {
		return "", err
	}
	if events < known.events || receipts < known.receipts {
		return fmt.Sprintf("the database was lost or restored: it ends at event %d and receipt %d, %s event %d and receipt %d",
			events, receipts, whoKnows, known.events, known.receipts), nil
	}
	return "", nil
}

// knownEnd is how far this daemon knows the records to be.
func (m *SafeMode) knownEnd() (end highWater, err error) {
	end.events, end.receipts = m.cfg.Store.Seen()
	if m.cfg.Marks == nil {
		return end, nil
	}
	m.kept.mu.Lock()
	defer m.kept.mu.Unlock()
	events, receipts, err := m.cfg.Marks.Load()
	return highWater{max(end.events, events), max(end.receipts, receipts)}, err
}

// saveMarks keeps forever how far the records are. In safe mode alone they may go back.
func (m *SafeMode) saveMarks(ctx context.Context, s safety) error {
	if m.cfg.Marks == nil {
		return nil
	}
	events, receipts, err := m.cfg.Store.Marks(ctx)
	if err != nil {
		return err
	}
	return m.kept.keep(highWater{events, receipts}, s.Reason != "", true, m.cfg.Marks.Save)
}

// NoteMarks keeps how far this process has written the records, once it has given something to somebody: a database that does not
// know of it must be seen to be behind, also when the daemon dies at once.
func (m *SafeMode) NoteMarks() error {
	if m.cfg.Marks == nil {
		return nil
	}
	events, receipts := m.cfg.Store.Seen()
	return m.kept.keep(highWater{events, receipts}, false, false, m.cfg.Marks.Note)
}

// NoteGiven is NoteMarks after what cannot be taken back any more. The marks at the engines follow beside it.
func (m *SafeMode) NoteGiven() {
	m.cfg.Bus.Nudge(bus.Mark)
	if err := m.NoteMarks(); err != nil {
		m.cfg.Logger.Warn(marksNotKept, "error", err)
	}
}

const marksNotKept = "how far the records are could not be kept; should the database be restored, safe mode may come late"

// keep writes marks that are ahead of those that were kept before, or go back when they may.
func (k *keptMarks) keep(end highWater, mayGoBack, save bool, write func(events, receipts int64) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !mayGoBack {
		end = highWater{max(end.events, k.events), max(end.receipts, k.receipts)}
	}
	if end == k.highWater && (k.saved || !save) {
		return nil
	}
	if err := write(end.events, end.receipts); err != nil {
		return err
	}
	k.highWater, k.saved = end, save
	return nil
}

// LookAndMark looks whether the database can be believed, and saves how far its records are.
func (m *SafeMode) LookAndMark(ctx context.Context) error {
	s, err := m.lookBehind(ctx)
	if err != nil {
		return err
	}
	return m.saveMarks(ctx, s)
}

// leaveFor bounds each of the last writes of a daemon that stops.
const leaveFor = 5 * time.Second
