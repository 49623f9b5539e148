package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/evidence"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// progress writes what a driver reports into the environment's log and record,
// beside the driver, so that a slow disk does not slow Terraform down.
type progress struct {
	w     *Worker
	env   fleet.Environment
	lines chan provisioner.Event
	wg    sync.WaitGroup

	// again says that the try follows one that found something away, and has told nothing new yet; what it told is in held.
	again bool
	held  []provisioner.Event
}

func (w *Worker) newProgress(ctx context.Context, env fleet.Environment) *progress {
	p := &progress{w: w, env: env, lines: make(chan provisioner.Event, 256), again: w.tries.repeats(env.ID)}
	ctx = context.WithoutCancel(ctx)
	w.guard.KeepUp(ctx, &p.wg, "the writing of progress", func() { p.write(ctx) }) // or who reports it would wait for ever
	return p
}

// step notes what bothy itself does.
func (p *progress) step(phase, format string, args ...any) {
	p.lines <- provisioner.Event{At: p.w.clock.Now(), Phase: phase, Message: fmt.Sprintf(format, args...)}
}

// observe is the driver's Observer.
func (p *progress) observe(ev provisioner.Event) {
	if ev.At.IsZero() {
		ev.At = p.w.clock.Now()
	}
	p.lines <- ev
}

// close waits until everything is written.
func (p *progress) close() {
	close(p.lines)
	p.wg.Wait()
}

func (p *progress) write(ctx context.Context) {
	for first := range p.lines {
		batch := []provisioner.Event{first}
	collect:
		for len(batch) < 100 {
			select {
			case ev, ok := <-p.lines:
				if !ok {
					break collect
				}
				batch = append(batch, ev)
			default:
				break collect
			}
		}
		if batch = p.news(batch); len(batch) == 0 {
			continue
		}
		if err := p.store(ctx, batch); err != nil {
			p.w.logger.Warn("writing an environment's log failed", "environment", p.env.Name, "error", err)
		}
	}
}

// news keeps back what a try repeats of those before it, as long as it gets no further than they did: a registry that
// is away for a night is not to fill the record.
func (p *progress) news(batch []provisioner.Event) []provisioner.Event {
	var news []provisioner.Event
	for _, ev := range batch {
		told := p.w.tries.tell(p.env.ID, ev.Message)
		if p.again && (told || ev.Phase == "rescue") && !ev.ResourceCreated { // that it is a try anew is no news by itself
			p.held = append(p.held, ev)
			continue
		}
		news = append(append(news, p.held...), ev)
		p.held, p.again = nil, false
	}
	return news
}

func (p *progress) store(ctx context.Context, batch []provisioner.Event) error {
	var lines []fleet.LogLine
	var events []fleet.Event
	var created time.Time
	for _, ev := range batch {
		source := "terraform"
		switch ev.Phase {
		case "rescue", "prepare", "sweep", "release":
			source = "bothy"
		}
		lines = append(lines, fleet.LogLine{At: ev.At, Source: source, Text: ev.Message})
		events = append(events, fleet.Event{
			At: ev.At, EnvironmentID: p.env.ID, Actor: journal.Self, Kind: "progress." + ev.Phase, Message: ev.Message,
		})
		if ev.ResourceCreated && created.IsZero() {
			created = ev.At.UTC().Truncate(time.Microsecond)
		}
	}
	if err := p.w.store.AppendLog(ctx, p.env.ID, lines); err != nil {
		return err
	}
	_, err := p.w.journal.Change(ctx, p.env.ID, store.Expect{Generation: p.env.Work.Generation}, func(row *fleet.Environment) (store.Writes, error) {
		if !created.IsZero() {
			ledger.Begin(row, evidence.Billable(created, *row, p.w.clock.Now()))
		}
		return store.Writes{Events: events}, nil
	})
	return err
}
