package usage

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

var _ provisioner.Surveyor = (*Meter)(nil)

const (
	opUsage = "read usage"
	// usageOver is the time over which the processors in use are read.
	usageOver = 250 * time.Millisecond
	// sizeFor bounds one reading of a sandbox's size, which the engine adds up file by file, and mostSizes how many are under way.
	sizeFor   = time.Minute
	mostSizes = 4
	// sizeKept is how long a size is good, and sizeRest how many times as long as a reading took its sandbox's rests at least.
	sizeKept = 15 * time.Second
	sizeRest = 10
)

// Usage reads a sandbox's control groups where they are on this host, and asks the engine otherwise. How much it has written only
// the engine knows; it goes on adding up when the caller has left, for the next one who asks.
func (m *Meter) Usage(ctx context.Context, id string) (provisioner.Usage, error) {
	used := provisioner.Unknown()
	if err := engine.CheckID(opUsage, id); err != nil {
		return used, err
	}
	known, err := m.sandboxes.Settings(ctx, id)
	if err != nil {
		return used, engine.During(opUsage, err)
	}
	size := m.sizes.begin(m, id)
	if len(known.Groups) > 0 {
		used = groupUsage(ctx, known.Groups)
	}
	if used == provisioner.Unknown() {
		if used, err = m.countedUsage(ctx, id); err != nil {
			return used, err
		}
	}
	used.Disk = m.sizes.wait(ctx, id, size)
	return used, nil
}

// groupUsage reads control groups.
func groupUsage(ctx context.Context, groups map[string]string) provisioner.Usage {
	used := provisioner.Unknown()
	began := time.Now()
	before, ok := cgroup.CPUTime(groups["cpuacct"])
	used.Memory = cgroup.Memory(groups["memory"])
	if n, ok := cgroup.ReadCount(filepath.Join(groups["pids"], "pids.current")); ok && groups["pids"] != "" {
		used.Pids = n
	}
	if !ok {
		return used
	}
	select {
	case <-time.After(usageOver):
	case <-ctx.Done():
	}
	if after, ok := cgroup.CPUTime(groups["cpuacct"]); ok && after >= before {
		used.CPUs = float64(after-before) / float64(time.Since(began))
	}
	return used
}

// countedUsage asks the engine. The processors in use take a second answer, for which there may be no time.
func (m *Meter) countedUsage(ctx context.Context, id string) (provisioner.Usage, error) {
	used := provisioner.Unknown()
	first, err := m.sandboxes.Stats(ctx, id, opUsage)
	if err != nil {
		return used, err
	}
	if first.Read.IsZero() {
		return used, m.sandboxes.Uncounted(ctx, id, opUsage)
	}
	used = statsUsage(first)
	second, err := m.sandboxes.Stats(ctx, id, opUsage)
	if err != nil {
		return used, nil //nolint:nilerr // what is known is returned
	}
	used.CPUs = coresBetween(first, second)
	return used, nil
}

// statsUsage is what one answer of the engine's tells.
func statsUsage(s container.StatsResponse) provisioner.Usage {
	used := provisioner.Unknown()
	count := func(n uint64) int64 { return int64(min(n, 1<<62)) } //nolint:gosec // bounded
	if s.PidsStats.Current > 0 {
		used.Pids = count(s.PidsStats.Current)
	}
	files, shared := "file", "shmem"
	if _, old := s.MemoryStats.Stats["total_cache"]; old {
		files, shared = "total_cache", "total_shmem"
	}
	if s.MemoryStats.Usage > 0 {
		used.Memory = cgroup.WithoutFiles(count(s.MemoryStats.Usage), count(s.MemoryStats.Stats[files]), count(s.MemoryStats.Stats[shared]))
	}
	return used
}

// coresBetween is how many processors were in use between two answers; -1 when they are one.
func coresBetween(first, second container.StatsResponse) float64 {
	over := second.Read.Sub(first.Read)
	before, after := first.CPUStats.CPUUsage.TotalUsage, second.CPUStats.CPUUsage.TotalUsage
	if over <= 0 || after < before {
		return -1
	}
	return float64(after-before) / float64(over)
}

// sizes are what sandboxes have written, as the engine added it up.
type sizes struct {
	mu    sync.Mutex
	of    map[string]*size
	under int             // readings under way
	hold  <-chan struct{} // for tests: nothing is noted before it is closed
}

// size is one sandbox's.
type size struct {
	bytes int64 // -1: not known
	at    time.Time
	took  time.Duration
	done  chan struct{} // of the reading that is under way; nil when none is
}

// begin makes sure that a sandbox's size is being read, unless it is known, was read just now or too many are. It gives what is closed
// when it is there; nil when nothing is to be waited for.
func (all *sizes) begin(r *Meter, id string) <-chan struct{} {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.of == nil {
		all.of = map[string]*size{}
	}
	s := all.of[id]
	switch {
	case s == nil:
		if len(all.of) >= engine.MostKnown {
			all.drop()
		}
		s = &size{bytes: -1}
		all.of[id] = s
	case s.done != nil:
		return s.done
	case time.Since(s.at) < max(sizeKept, sizeRest*s.took):
		return nil
	}
	if all.under >= mostSizes {
		return nil
	}
	all.under++
	s.done = make(chan struct{})
	go all.read(r, id, s)
	return s.done
}

// drop forgets those that nobody reads.
func (all *sizes) drop() {
	for id, s := range all.of {
		if s.done == nil {
			delete(all.of, id)
		}
	}
}

func (all *sizes) read(r *Meter, id string, s *size) {
	ctx, cancel := context.WithTimeout(r.bg, sizeFor)
	defer cancel()
	began := time.Now()
	c, _, err := r.engine.API.ContainerInspectWithRaw(ctx, id, true)
	if all.hold != nil {
		<-all.hold
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.under--
	s.bytes = -1
	if err == nil && c.ContainerJSONBase != nil && c.SizeRw != nil {
		s.bytes = *c.SizeRw
	}
	s.at, s.took = time.Now(), time.Since(began)
	close(s.done)
	s.done = nil
}

// wait returns a sandbox's size once it is there; -1 when it does not come in time.
func (all *sizes) wait(ctx context.Context, id string, done <-chan struct{}) int64 {
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.of[id]
	if s == nil || s.at.IsZero() || time.Since(s.at) > max(sizeFor, 2*sizeRest*s.took) {
		return -1
	}
	return s.bytes
}

// forget drops what is known of a sandbox that is gone.
func (all *sizes) forget(id string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if s := all.of[id]; s != nil && s.done == nil {
		delete(all.of, id)
	}
}
