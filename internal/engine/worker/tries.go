package worker

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// tries are what this process remembers of work on environments: of what runs, and of what waits for
// something that is away. A process that forgot it tries sooner and tells a line twice.
type tries struct {
	mu sync.Mutex
	of map[string]*try
}

type try struct {
	env fleet.Environment
	// ups is how often its host had come back when the try began.
	ups int64
	// away counts the tries in a row that found something away, streak those since it last came back.
	away, streak int
	// waiting says that none runs now, and that the next is put off.
	waiting bool
	told    map[string]bool
}

// maxTold bounds the lines that are remembered of one environment.
const maxTold = 200

// begin notes that a try begins.
func (t *tries) begin(env fleet.Environment, ups int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]*try{}
	}
	known := t.of[env.ID]
	if known == nil || known.env.Work.Action != env.Work.Action {
		known = &try{told: map[string]bool{}}
		t.of[env.ID] = known
	}
	known.env, known.ups, known.waiting = env, ups, false
}

// putOff notes that a try found something away, and gives how long the next is put off.
func (t *tries) putOff(env fleet.Environment) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.of[env.ID]
	if known == nil { // not the runner's, as a claim's is not
		return awayRetry
	}
	known.waiting = true
	known.away++
	known.streak++
	return bus.Doubled(awayRetry, known.streak-1, longestAwayRetry)
}

// end forgets a try that nothing is to follow.
func (t *tries) end(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.of[id]; known != nil && !known.waiting {
		delete(t.of, id)
	}
}

// foundAway is how many tries before the one that runs, in a row, found something away.
func (t *tries) foundAway(id string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.of[id]; known != nil {
		return known.away
	}
	return 0
}

// repeats reports whether the try that runs follows one that found something away.
func (t *tries) repeats(id string) bool {
	return t.foundAway(id) > 0
}

// tell notes a line of an environment's log, and reports whether it was noted before.
func (t *tries) tell(id, line string) (before bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.of[id]
	if known == nil {
		return false
	}
	before = known.told[line]
	if len(known.told) < maxTold {
		known.told[line] = true
	}
	return before
}

// waiting lists the environments whose next try is put off.
func (t *tries) waiting() []try {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []try
	for _, known := range t.of {
		if known.waiting {
			all = append(all, *known)
		}
	}
	return all
}

// broughtForward notes that what a try waited for is back.
func (t *tries) broughtForward(was try, ups int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.of[was.env.ID]; known != nil && known.env.Work.Generation == was.env.Work.Generation {
		known.ups, known.streak = ups, 0
	}
}

// forget drops what another daemon has taken up.
func (t *tries) forget(was try) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.of[was.env.ID]; known != nil && known.waiting && known.env.Work.Generation == was.env.Work.Generation {
		delete(t.of, was.env.ID)
	}
}

const (
	// awayRetry is the wait before another try while the engine or Terraform is away. It doubles up to
	// longestAwayRetry, as long as neither the host nor its blueprint is seen to come back.
	awayRetry        = 2 * time.Second
	longestAwayRetry = 30 * time.Second
)

// TryAgain brings forward the tries that wait for what has come back, until ctx ends.
func (w *Worker) TryAgain(ctx context.Context) {
	if err := w.tryAgainAtStart(ctx); err != nil && ctx.Err() == nil {
		w.logger.Warn("bringing tries forward failed; they are made when they are due", "error", err)
	}
	bus.Loop(ctx, w.bus.On(bus.Back), func() time.Duration {
		waiting := w.tries.waiting()
		for _, t := range waiting {
			if !w.cfg.Holds.Serves(t.env.Host) {
				w.tries.forget(t) // another daemon makes it
				continue
			}
			host := w.cfg.Ready(t.env.Host)
			host.LookIfDown() // so that its return is noticed at once
			ups := host.Ups()
			if ups == t.ups {
				continue
			}
			if err := w.bringForward(ctx, t, ups); err != nil && ctx.Err() == nil {
				w.logger.Warn("bringing a try forward failed; it is made when it is due", "environment", t.env.Name, "error", err)
			}
		}
		if len(waiting) == 0 {
			return time.Hour // whatever begins to wait wakes this
		}
		return min(awayRetry, w.cfg.Tick)
	})
}

// tryAgainAtStart brings forward what an earlier process put off: what was away then may be back.
func (w *Worker) tryAgainAtStart(ctx context.Context) error {
	live, err := w.store.Live(ctx)
	if err != nil {
		return err
	}
	now := w.clock.Now()
	for _, env := range live {
		work := env.Work
		if work.Worker != "" || work.LastError == "" || work.Attempts > 0 || !now.Before(work.NotBefore) || !w.cfg.Holds.Serves(env.Host) {
			continue
		}
		if err := w.bringForward(ctx, try{env: env}, 0); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) bringForward(ctx context.Context, t try, ups int64) error {
	now := w.clock.Now()
	row, err := w.journal.Change(ctx, t.env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if row.Work.Generation == t.env.Work.Generation && row.Work.Worker == "" && now.Before(row.Work.NotBefore) {
			row.Work.NotBefore = now
		}
		return store.Writes{}, nil
	})
	if err != nil {
		return err
	}
	if row.Work.Generation != t.env.Work.Generation || row.Work.Action != t.env.Work.Action {
		w.tries.forget(t)
		return nil
	}
	if row.Work.Worker != "" {
		return nil // it is not put off yet; the next look does it
	}
	w.tries.broughtForward(t, ups)
	w.bus.Nudge(bus.Work)
	return nil
}

// sameCause reports whether two sentences differ in numbers at most: those of ports and times are others at each try.
func sameCause(a, b string) bool {
	return strings.Map(unlessDigit, a) == strings.Map(unlessDigit, b)
}

func unlessDigit(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}
