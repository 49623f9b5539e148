package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// A copy of the state folder, or of the disk that it is on, takes the marks in it back together with the database. So they lie at
// the engines as well, for as long as anything stands there, and what stands there is itself evidence: each environment is in the
// database before anything is made of it.

// engineMarks is what this process knows of the marks at the engines.
type engineMarks struct {
	mu sync.Mutex
	// last is what was kept last, by host.
	last map[string]recordsEnd
	// looked are the hosts whose marks were compared with the database since this process began.
	looked map[string]bool
	// looking are those that are compared right now.
	looking map[string]bool
}

// markPause is the least time between two marks of one host.
const markPause = time.Second

// markLoop tells the engines how far the records are, soon after something was given to somebody.
func (e *Engine) markLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.markNudge:
		}
		events, receipts := e.store.Seen()
		for _, name := range e.looked(e.hosts.served(e.Now())) {
			if err := e.putMark(ctx, e.hosts.byName[name], recordsEnd{events, receipts}, false); err != nil && ctx.Err() == nil {
				e.logger.Warn(marksNotKept, "host", name, "error", err)
			}
		}
		if waitFor(ctx, nil, markPause) != nil {
			return
		}
	}
}

func (e *Engine) markName(end recordsEnd) string {
	return fmt.Sprintf("bothy-%s-mark-%d-%d", e.cfg.Instance, end.events, end.receipts)
}

// putMark keeps a mark at an engine, in place of the one that this process kept before. In safe mode alone it may go back.
func (e *Engine) putMark(ctx context.Context, h *Host, end recordsEnd, mayGoBack bool) error {
	marker, ok := provisioner.Can[provisioner.Marker](h.Runtime)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaveFor)
	defer cancel()
	e.engineMarks.mu.Lock()
	defer e.engineMarks.mu.Unlock()
	last := e.engineMarks.last[h.Name]
	if !mayGoBack {
		end = recordsEnd{max(end.events, last.events), max(end.receipts, last.receipts)}
	}
	if end == last {
		return nil
	}
	owner := provisioner.Owner{Instance: e.cfg.Instance, Created: e.Now(), Mark: fmt.Sprint(end.events, " ", end.receipts)}
	if err := marker.Mark(ctx, e.markName(end), e.labels.Labels(owner)); err != nil {
		return err
	}
	if e.engineMarks.last == nil {
		e.engineMarks.last = map[string]recordsEnd{}
	}
	e.engineMarks.last[h.Name] = end
	if last == (recordsEnd{}) {
		return nil
	}
	return marker.Unmark(ctx, e.markName(last))
}

// reconcileMark keeps one mark at an engine where something of an environment stands, and none where nothing does.
func (e *Engine) reconcileMark(ctx context.Context, h *Host, seen census) error {
	safe, err := e.safety(ctx)
	if err != nil {
		return err
	}
	var end recordsEnd
	if seen.stands {
		if end.events, end.receipts, err = e.store.Marks(ctx); err != nil {
			return err
		}
		if err := e.putMark(ctx, h, end, safe.Reason != ""); err != nil {
			return fmt.Errorf("keep mark: %w", err)
		}
	}
	marker, ok := provisioner.Can[provisioner.Marker](h.Runtime)
	if !ok {
		return nil
	}
	e.engineMarks.mu.Lock()
	defer e.engineMarks.mu.Unlock()
	kept := e.markName(e.engineMarks.last[h.Name])
	var errs []error
	for _, f := range seen.marks {
		if f.Name == kept && seen.stands {
			continue
		}
		if f.Name == kept {
			delete(e.engineMarks.last, h.Name)
		}
		errs = append(errs, marker.Unmark(ctx, f.Name))
	}
	return errors.Join(errs...)
}

// leaveEngineMarks looks once more at each host at the end, so that a later start sees at once what a database does not know.
func (e *Engine) leaveEngineMarks(ctx context.Context) {
	done, err := e.orphans.decide(ctx, e.hosts.names...)
	if err != nil {
		e.logger.Warn(marksNotKept, "error", err)
		return
	}
	defer done()
	envs, err := e.store.Live(ctx)
	for _, name := range e.looked(e.hosts.names) {
		h := e.hosts.byName[name]
		if err == nil && e.serves(name) {
			var seen census
			if seen, err = e.look(ctx, h, on(h, envs)); err == nil {
				err = e.reconcileMark(ctx, h, seen)
			}
		}
	}
	if err != nil {
		e.logger.Warn(marksNotKept, "error", err)
	}
}

// looked leaves out the hosts that were not compared with the database yet: what is recorded of them may not be true.
func (e *Engine) looked(hosts []string) []string {
	e.engineMarks.mu.Lock()
	defer e.engineMarks.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(hosts), func(name string) bool { return !e.engineMarks.looked[name] })
}

// lookFirst compares a host with the database before anything is done on it. It does not wait: an engine that hangs must not cost
// this daemon its hosts.
func (e *Engine) lookFirst(ctx context.Context, h *Host) {
	m := &e.engineMarks
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked[h.Name] || m.looking[h.Name] {
		return
	}
	if m.looking == nil {
		m.looking = map[string]bool{}
	}
	m.looking[h.Name] = true
	// The caller's time is for its own call only.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstLookFor)
	stop := context.AfterFunc(e.life, cancel)
	e.aside(&e.background, "the first look at host "+h.Name, func() {
		defer func() {
			stop()
			cancel()
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.looking, h.Name)
		}()
		e.compareFirst(ctx, h)
	})
}

// firstLookFor bounds the first look at a host.
const firstLookFor = time.Minute

func (e *Engine) compareFirst(ctx context.Context, h *Host) {
	err := e.lookAtFirst(ctx, h)
	if err != nil {
		e.logger.Warn("the first look at a host failed; it is done again, and nothing is done there before", "host", h.Name, "error", err)
		return
	}
	nudge(e.workNudge)
	nudge(e.markNudge)
}

func (e *Engine) lookAtFirst(ctx context.Context, h *Host) error {
	done, err := e.orphans.decide(ctx, h.Name)
	if err != nil {
		return err
	}
	defer done()
	// What was made right before this daemon began must be in it.
	if err := e.outwaitLists(ctx, h); err != nil {
		return err
	}
	envs, err := e.store.Live(ctx)
	if err != nil {
		return err
	}
	_, err = e.look(ctx, h, on(h, envs))
	return err
}

// believe turns safe mode on when what was listed shows that the database is behind.
func (e *Engine) believe(ctx context.Context, h *Host, s census) (safety, error) {
	safe, err := e.safety(ctx)
	if err != nil {
		return safe, err
	}
	if safe.Reason == "" {
		if safe, err = e.enterWhen(ctx, func(ctx context.Context) (string, error) {
			if s.ahead != "" {
				return s.ahead, nil
			}
			return e.before(ctx, marked(s.marks), "a mark at the engine of host "+h.Name+" knows")
		}); err != nil {
			return safe, err
		}
	}
	e.engineMarks.mu.Lock()
	defer e.engineMarks.mu.Unlock()
	if e.engineMarks.looked == nil {
		e.engineMarks.looked = map[string]bool{}
	}
	e.engineMarks.looked[h.Name] = true
	return safe, nil
}

// marked is how far marks say that the records are.
func marked(marks []provisioner.Found) (end recordsEnd) {
	for _, f := range marks {
		var events, receipts int64
		if _, err := fmt.Sscan(f.Labels[provisioner.LabelMark], &events, &receipts); err == nil {
			end = recordsEnd{max(end.events, events), max(end.receipts, receipts)}
		}
	}
	return end
}

// aheadOf says how a resource of ours shows that the database does not know all; "" when it does not. Its row was read
// before or after the list, so one that seems to be too old is read again.
func (e *Engine) aheadOf(ctx context.Context, f provisioner.Found, env fleet.Environment, known bool) (string, error) {
	if !known {
		return fmt.Sprintf("the database was lost or restored: it does not know the environment %s, of which there is %s %s",
			f.Labels[provisioner.LabelEnvironment], f.Kind, f.Name), nil
	}
	generation, err := strconv.ParseInt(f.Labels[provisioner.LabelGeneration], 10, 64)
	if err != nil || generation <= env.Work.Generation {
		return "", nil // labels that verify have one; what has none shows nothing
	}
	row, err := e.store.Get(ctx, env.ID)
	if err != nil || generation <= row.Work.Generation {
		return "", err
	}
	return fmt.Sprintf("the database was lost or restored: it knows %d tries to make the environment %s, and %s %s is of try %d",
		row.Work.Generation, env.ID, f.Kind, f.Name, generation), nil
}
