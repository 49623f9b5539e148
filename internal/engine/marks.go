package engine

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Marks remembers, outside of the database, how far its records were.
type Marks interface {
	// Load gives the numbers that were saved last, zeros when none were.
	Load() (events, receipts int64, err error)
	// Save keeps them for good.
	Save(events, receipts int64) error
	// Note keeps them for as long as the machine runs, which takes no time. It is for what ends with the machine, as a
	// sandbox does.
	Note(events, receipts int64) error
}

// recordsEnd is how far the records are: the numbers of the last event and of the last receipt.
type recordsEnd struct{ events, receipts int64 }

// keptMarks are what this process kept last.
type keptMarks struct {
	mu sync.Mutex
	recordsEnd
	// saved says that they were saved, and not only noted.
	saved bool
}

func (e *Engine) readRecordsEnd(ctx context.Context) (end recordsEnd, err error) {
	end.events, end.receipts, err = e.store.Marks(ctx)
	return end, err
}

// behind tells how the database's records end before what this daemon has seen; "" when they do not.
func (e *Engine) behind(ctx context.Context) (string, error) {
	if e.cfg.Marks == nil {
		return "", nil
	}
	knownEvents, knownReceipts, err := e.loadMarks()
	if err != nil {
		return "", err
	}
	end, err := e.readRecordsEnd(ctx)
	if err != nil {
		return "", err
	}
	if end.events < knownEvents || end.receipts < knownReceipts {
		return fmt.Sprintf("the database was lost or restored: it ends at event %d and receipt %d, this daemon has seen event %d and receipt %d",
			end.events, end.receipts, knownEvents, knownReceipts), nil
	}
	return "", nil
}

func (e *Engine) loadMarks() (events, receipts int64, err error) {
	e.marks.mu.Lock()
	defer e.marks.mu.Unlock()
	return e.cfg.Marks.Load()
}

// saveMarks keeps how far the records are for good. In safe mode alone they may go back.
func (e *Engine) saveMarks(ctx context.Context, s safety) error {
	if e.cfg.Marks == nil {
		return nil
	}
	end, err := e.readRecordsEnd(ctx)
	if err != nil {
		return err
	}
	return e.marks.keep(end, s.Reason != "", true, e.cfg.Marks.Save)
}

// noteMarks keeps how far the records are once something was given to somebody: a database that does not know of it must be seen
// to be behind, also when the daemon dies at once.
func (e *Engine) noteMarks(ctx context.Context) error {
	if e.cfg.Marks == nil {
		return nil
	}
	end, err := e.ends.get(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	return e.marks.keep(end, false, false, e.cfg.Marks.Note)
}

// noteGiven is noteMarks after what cannot be taken back any more.
func (e *Engine) noteGiven(ctx context.Context) {
	if err := e.noteMarks(ctx); err != nil {
		e.logger.Warn(marksNotKept, "error", err)
	}
}

const marksNotKept = "how far the records are could not be kept; should the database be restored, safe mode may come late"

// keep writes marks that are ahead of those that were kept before, or go back when they may.
func (k *keptMarks) keep(end recordsEnd, mayGoBack, save bool, write func(events, receipts int64) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	behind := end.events < k.events || end.receipts < k.receipts
	if behind && !mayGoBack || end == k.recordsEnd && (k.saved || !save) {
		return nil
	}
	if err := write(end.events, end.receipts); err != nil {
		return err
	}
	k.recordsEnd, k.saved = end, save
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
		e.logger.Warn(marksNotKept, "error", err)
	}
}

// leaveFor bounds each of the last writes of a daemon that stops.
const leaveFor = 5 * time.Second
