package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// A copy of the state folder, or of the disk that it is on, takes the marks in it back together with the database. So they lie at
// the engines as well, for as long as there is anything of bothy's, and that is itself evidence: each environment is in the
// database before anything is made of it.

// EngineMarks are the marks at the engines, as far as this process knows.
type EngineMarks struct {
	cfg   Config
	safe  *SafeMode
	lists Lists

	mu sync.Mutex
	// last is what was kept last, by host.
	last map[string]highWater
	// looked are the hosts whose marks were compared with the database since this process began.
	looked map[string]bool
	// looking are those that are compared right now.
	looking map[string]bool
	// compared is closed, and replaced, whenever a host was compared.
	compared chan struct{}
}

// Lists compares what hosts list with the database.
type Lists interface {
	// Hold keeps others from deciding on what hosts, which are in order, list until done is called.
	Hold(ctx context.Context, hosts ...string) (done func(), err error)
	// Look lists what is on a host and compares it with its environments.
	Look(ctx context.Context, h *target.Host, envs map[string]fleet.Environment) (Listed, error)
}

// Listed is what a list shows of how far the records were.
type Listed struct {
	// Marks lie at the engine; Stands says that something of an environment does as well.
	Marks  []provisioner.Found
	Stands bool
	// Marked says that the mark at the engine was brought in line with this list already.
	Marked bool
}

// NewEngineMarks makes them.
func NewEngineMarks(c Config, safe *SafeMode, lists Lists) *EngineMarks {
	return &EngineMarks{
		cfg: c, safe: safe, lists: lists, last: map[string]highWater{}, looked: map[string]bool{}, looking: map[string]bool{},
		compared: make(chan struct{}),
	}
}

// markPause is the least time between two marks of one host.
const markPause = time.Second

// Run tells the engines how far the records are, soon after something was given to somebody.
func (m *EngineMarks) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.cfg.Bus.On(bus.Mark):
		}
		events, receipts := m.cfg.Store.Seen()
		for _, name := range m.Looked(m.cfg.Hosts.Served(m.cfg.Clock.Now())) {
			if err := m.putMark(ctx, m.cfg.Hosts.Find(name), highWater{events, receipts}, false); err != nil && ctx.Err() == nil {
				m.cfg.Logger.Warn(marksNotKept, "host", name, "error", err)
			}
		}
		if bus.Wait(ctx, nil, markPause) != nil {
			return
		}
	}
}

func (m *EngineMarks) markName(end highWater) string {
	return fmt.Sprintf("bothy-%s-mark-%d-%d", m.cfg.Instance, end.events, end.receipts)
}

// putMark keeps a mark at an engine, in place of the one that this process kept before. In safe mode alone it may go back.
func (m *EngineMarks) putMark(ctx context.Context, h *target.Host, end highWater, mayGoBack bool) error {
	marker, ok := provisioner.Can[provisioner.Marker](h.Runtime)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaveFor)
	defer cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.last[h.Name]
	if !mayGoBack {
		end = highWater{max(end.events, last.events), max(end.receipts, last.receipts)}
	}
	if end == last {
		return nil
	}
	owner := provisioner.Owner{Instance: m.cfg.Instance, Created: m.cfg.Clock.Now(), Mark: fmt.Sprint(end.events, " ", end.receipts)}
	if err := marker.Mark(ctx, m.markName(end), m.cfg.Labels.Labels(owner)); err != nil {
		return err
	}
	m.last[h.Name] = end
	if last == (highWater{}) {
		return nil
	}
	return marker.Unmark(ctx, m.markName(last))
}

// Keep keeps one mark at an engine where something of an environment stands, and none where nothing does. marks are those that lie there.
func (m *EngineMarks) Keep(ctx context.Context, h *target.Host, stands bool, marks []provisioner.Found) error {
	safe, err := m.safe.Reason(ctx)
	if err != nil {
		return err
	}
	var end highWater
	if stands {
		if end.events, end.receipts, err = m.cfg.Store.Marks(ctx); err != nil {
			return err
		}
		if err := m.putMark(ctx, h, end, safe != ""); err != nil {
			return fmt.Errorf("keep mark: %w", err)
		}
	}
	marker, ok := provisioner.Can[provisioner.Marker](h.Runtime)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.markName(m.last[h.Name])
	var errs []error
	for _, f := range marks {
		if f.Name == kept && stands {
			continue
		}
		if f.Name == kept {
			delete(m.last, h.Name)
		}
		errs = append(errs, marker.Unmark(ctx, f.Name))
	}
	return errors.Join(errs...)
}

// Leave saves all marks once more at the end of ctx, so that nothing of what was done since the last sweep is missed, and a later start sees
// at once what a database does not know.
func (m *EngineMarks) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	if err := m.safe.LookAndMark(ctx); err != nil {
		m.cfg.Logger.Warn(marksNotKept, "error", err)
	}
	if err := m.leave(ctx); err != nil {
		m.cfg.Logger.Warn(marksNotKept, "error", err)
	}
}

// leave looks once more at each host, also when this process had no time for its first look: each look compares before it marks.
func (m *EngineMarks) leave(ctx context.Context) error {
	done, err := m.lists.Hold(ctx, m.cfg.Hosts.Names()...)
	if err != nil {
		return err
	}
	defer done()
	envs, err := m.cfg.Store.Live(ctx)
	for _, name := range m.cfg.Hosts.Names() {
		h := m.cfg.Hosts.Find(name)
		if err == nil && m.cfg.Hosts.Serves(name) {
			var seen Listed
			if len(m.Looked([]string{name})) == 0 {
				if err := target.OutwaitLists(ctx, h); err != nil {
					return err
				}
			}
			if seen, err = m.lists.Look(ctx, h, journal.On(h.Name, envs)); err == nil && !seen.Marked {
				err = m.Keep(ctx, h, seen.Stands, seen.Marks)
			}
		}
	}
	return err
}

// Looked leaves out the hosts that were not compared with the database yet: what is recorded of them may not be true.
func (m *EngineMarks) Looked(hosts []string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(hosts), func(name string) bool { return !m.looked[name] })
}

// firstLooksFor bounds how long decisions wait for the first look at hosts whose engines answer.
const firstLooksFor = 5 * time.Second

// AwaitFirstLooks waits until every host that can be used was compared with the database, so that nothing is decided by a database
// that was set back. A list that hangs delays decisions by 5 s and the lag of lists: other hosts are not to wait for it.
func (m *EngineMarks) AwaitFirstLooks(ctx context.Context) {
	var names []string
	bound := firstLooksFor
	for _, h := range m.cfg.Hosts.Usable() {
		names, bound = append(names, h.Name), max(bound, firstLooksFor+h.Runtime.Capabilities().ListLag)
	}
	timer := time.NewTimer(bound)
	defer timer.Stop()
	for {
		m.mu.Lock()
		compared := m.compared
		m.mu.Unlock()
		if len(m.Looked(names)) == len(names) {
			return
		}
		select {
		case <-compared:
		case <-timer.C:
			m.cfg.Logger.Warn("planning begins though not every host could be compared with the database yet", "hosts", names)
			return
		case <-ctx.Done():
			return
		}
	}
}

// LookFirst compares a host with the database before anything is done on it. It does not wait: an engine that hangs must not cost
// this daemon its hosts.
func (m *EngineMarks) LookFirst(ctx context.Context, h *target.Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked[h.Name] || m.looking[h.Name] {
		return
	}
	m.looking[h.Name] = true
	// The caller's time is for its own call only.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstLookFor)
	stop := context.AfterFunc(m.cfg.Life, cancel)
	m.cfg.Guard.Background("the first look at host "+h.Name, func() {
		defer func() {
			stop()
			cancel()
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.looking, h.Name)
		}()
		m.compareFirst(ctx, h)
	})
}

// firstLookFor bounds the first look at a host.
const firstLookFor = time.Minute

func (m *EngineMarks) compareFirst(ctx context.Context, h *target.Host) {
	err := m.lookAtFirst(ctx, h)
	if err != nil {
		m.cfg.Logger.Warn("the first look at a host failed; it is done again, and nothing is done there before", "host", h.Name, "error", err)
		return
	}
	m.cfg.Bus.Nudge(bus.Work, bus.Mark)
}

func (m *EngineMarks) lookAtFirst(ctx context.Context, h *target.Host) error {
	done, err := m.lists.Hold(ctx, h.Name)
	if err != nil {
		return err
	}
	defer done()
	// What was made right before this daemon began must be in it.
	if err := target.OutwaitLists(ctx, h); err != nil {
		return err
	}
	envs, err := m.cfg.Store.Live(ctx)
	if err != nil {
		return err
	}
	_, err = m.lists.Look(ctx, h, journal.On(h.Name, envs))
	return err
}

// Believe turns safe mode on when what was listed shows that the database is behind: by what it says of that in ahead, or by the marks
// that lie at the engine. It gives why the database cannot be believed, "" when it can.
func (m *EngineMarks) Believe(ctx context.Context, h *target.Host, ahead string, marks []provisioner.Found) (reason string, err error) {
	safe, err := m.safe.read(ctx)
	if err != nil {
		return "", err
	}
	if safe.Reason == "" {
		if safe, err = m.safe.enterWhen(ctx, func(ctx context.Context) (string, error) {
			if ahead != "" {
				return ahead, nil
			}
			return m.safe.before(ctx, marked(marks), "a mark at the engine of host "+h.Name+" knows")
		}); err != nil {
			return "", err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looked[h.Name] = true
	close(m.compared)
	m.compared = make(chan struct{})
	return safe.Reason, nil
}

// marked is how far marks say that the records are.
func marked(marks []provisioner.Found) (end highWater) {
	for _, f := range marks {
		var events, receipts int64
		if _, err := fmt.Sscan(f.Labels[provisioner.LabelMark], &events, &receipts); err == nil {
			end = highWater{max(end.events, events), max(end.receipts, receipts)}
		}
	}
	return end
}

// Ahead says how a resource of ours shows that the database does not know all; "" when it does not. Its row was read
// before or after the list, so one that seems to be too old is read again.
func (m *EngineMarks) Ahead(ctx context.Context, f provisioner.Found, env fleet.Environment, known bool) (string, error) {
	if !known {
		return fmt.Sprintf("the database was lost or restored: it does not know the environment %s, of which there is %s %s",
			f.Labels[provisioner.LabelEnvironment], f.Kind, f.Name), nil
	}
	generation, err := strconv.ParseInt(f.Labels[provisioner.LabelGeneration], 10, 64)
	if err != nil || generation <= env.Work.Generation {
		return "", nil // labels that verify have one; what has none shows nothing
	}
	row, err := m.cfg.Store.Get(ctx, env.ID)
	if err != nil || generation <= row.Work.Generation {
		return "", err
	}
	return fmt.Sprintf("the database was lost or restored: it knows %d tries to make the environment %s, and %s %s is of try %d",
		row.Work.Generation, env.ID, f.Kind, f.Name, generation), nil
}
