package plan_test

import (
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// pick gives one of those in a state by a number, nil when there is none.
func (w *world) pick(state fleet.State, n uint32) *fleet.Environment {
	var in []*fleet.Environment
	for _, e := range w.envs {
		if e.State == state {
			in = append(in, e)
		}
	}
	if len(in) == 0 {
		return nil
	}
	return in[int(n)%len(in)]
}

// ask is a request: a warm one of the wish is claimed, else it waits.
func (w *world) ask(n uint32) {
	ttl := time.Duration(1+n%90) * time.Minute
	team := string(rune('a' + n/7%3))
	wish := []string{"", "p-d1", "q-d2", "cold"}[n/3%4]
	for _, e := range w.envs {
		if e.State == fleet.Warm && e.MatchKey == wish {
			w.claim(e, team, ttl)
			return
		}
	}
	e := w.write(fleet.Size{Name: "s", CPUs: float64(1 + n/11%4), MemoryMiB: 1024})
	e.Name, e.Tenant, e.Team, e.MatchKey, e.Lease.TTL = e.ID, "acme", team, wish, ttl
	if n%5 == 0 {
		e.Queue.Until = w.now.Add(ttl)
	}
	if n%4 == 0 {
		e.Lease.Idle = ttl / 3
	}
}

func (w *world) claim(e *fleet.Environment, team string, ttl time.Duration) {
	e.State, e.Tenant, e.Team, e.Revision = fleet.Leased, "acme", team, e.Revision+1
	e.Lease = fleet.Lease{TTL: ttl, Start: w.now, End: w.now.Add(ttl)}
}

// finish ends a create.
func (w *world) finish(e *fleet.Environment, ok bool) {
	if e == nil || w.lost(e.Host) {
		return
	}
	e.Revision++
	pl := w.pool(e.Pool)
	switch {
	case !ok:
		e.State, e.Failure = fleet.Failed, &fleet.Failure{Sentence: "it broke", At: w.now}
		if pl != nil {
			pl.Failures, pl.Revision = pl.Failures+1, pl.Revision+1
		}
	case e.Pool != "":
		e.State, e.ReadyAt = fleet.Warm, w.now
		if pl != nil {
			pl.Failures, pl.Revision = 0, pl.Revision+1
		}
	default:
		e.State, e.ReadyAt = fleet.Leased, w.now
		e.Lease.Start, e.Lease.End = w.now, w.now.Add(e.Lease.TTL)
	}
}

func (w *world) destroyed(e *fleet.Environment) {
	if e != nil && !w.lost(e.Host) {
		w.remove(e)
	}
}

// event is one of what may happen; kinds are drawn as often as they are listed.
func (w *world) event(kind int, n uint32) {
	switch kind {
	case 0, 1, 2:
		w.ask(n)
	case 3, 4, 5, 6:
		w.finish(w.pick(fleet.Provisioning, n), true)
	case 7:
		w.finish(w.pick(fleet.Provisioning, n), false)
	case 8, 9, 10:
		w.destroyed(w.pick(fleet.Destroying, n))
	case 11:
		if e := w.pick(fleet.Leased, n); e != nil {
			e.State, e.Revision = fleet.Destroying, e.Revision+1
		}
	case 12:
		if e := w.pick(fleet.Leased, n); e != nil {
			e.Lease.End, e.Lease.ActiveAt, e.Revision = e.Lease.End.Add(time.Hour), w.now, e.Revision+1
		}
	case 13:
		if e := w.pick(fleet.Warm, n); e != nil {
			w.claim(e, "b", time.Hour)
		}
	case 14, 15:
		w.pass(time.Duration(n%2000) * time.Second)
	case 16:
		w.jump([]time.Duration{24 * time.Hour, -24 * time.Hour, 2 * time.Minute}[n%3])
	case 17:
		h := &w.hosts[int(n)%len(w.hosts)]
		h.Drained = !h.Drained
	case 18:
		w.silent[w.hosts[int(n)%len(w.hosts)].Name] = n%3 == 0
		w.beat()
	case 19:
		w.setPool(n)
	}
}

// setPool is what the platform team does to a pool.
func (w *world) setPool(n uint32) {
	if len(w.pools) == 0 {
		return
	}
	i := int(n) % len(w.pools)
	pl := &w.pools[i]
	pl.Revision++
	switch n / 8 % 8 {
	case 0, 1:
		pl.Digest = fmt.Sprintf("d%d", n%3)
		pl.MatchKey = pl.Name + "-" + pl.Digest
	case 2, 3:
		pl.Target = int(n % 5)
	case 4:
		pl.Max, pl.Min, pl.Surge = int(n%6), int(n%3), int(n/64%3)
		if n/256%2 == 0 {
			pl.Target = pl.Min
		}
	case 5:
		pl.Broken = []string{"", "build is not offered any more"}[n%2]
	case 6:
		pl.Held, pl.Failures = "", 0
	case 7:
		if n%3 == 0 {
			w.pools = append(w.pools[:i], w.pools[i+1:]...)
		}
	}
}
