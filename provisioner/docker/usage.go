package docker

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Surveyor = (*Runtime)(nil)

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
func (r *Runtime) Usage(ctx context.Context, id string) (provisioner.Usage, error) {
	used := provisioner.Unknown()
	if err := checkID(opUsage, id); err != nil {
		return used, err
	}
	known, err := r.settingsOf(ctx, id)
	if err != nil {
		return used, during(opUsage, err)
	}
	size := r.sizes.begin(r, id)
	if len(known.groups) > 0 {
		used = groupUsage(ctx, known.groups)
	}
	if used == provisioner.Unknown() {
		if used, err = r.countedUsage(ctx, id); err != nil {
			return used, err
		}
	}
	used.Disk = r.sizes.wait(ctx, id, size)
	return used, nil
}

// groupUsage reads control groups.
func groupUsage(ctx context.Context, groups map[string]string) provisioner.Usage {
	used := provisioner.Unknown()
	began := time.Now()
	before, ok := cpuTime(groups["cpuacct"])
	used.Memory = memoryOf(groups["memory"])
	if n, ok := readCount(filepath.Join(groups["pids"], "pids.current")); ok && groups["pids"] != "" {
		used.Pids = n
	}
	if !ok {
		return used
	}
	select {
	case <-time.After(usageOver):
	case <-ctx.Done():
	}
	if after, ok := cpuTime(groups["cpuacct"]); ok && after >= before {
		used.CPUs = float64(after-before) / float64(time.Since(began))
	}
	return used
}

// memoryOf reads the memory of a control group but for files' pages, which the kernel drops when it needs the room; -1 when
// it cannot be read. What is in a tmpfs counts as a file's with both versions, and stays.
func memoryOf(group string) int64 {
	if group == "" {
		return -1
	}
	held, ok := readCount(filepath.Join(group, "memory.current"))
	files, shared := "file", "shmem"
	if !ok {
		held, ok = readCount(filepath.Join(group, "memory.usage_in_bytes"))
		files, shared = "total_cache", "total_shmem"
	}
	if !ok {
		return -1
	}
	stat, ok := fieldsOf(filepath.Join(group, "memory.stat"))
	if !ok {
		return -1
	}
	return withoutFiles(held, stat[files], stat[shared])
}

// withoutFiles takes files' pages off; the numbers are not of one moment.
func withoutFiles(held, files, shared int64) int64 {
	return max(held-max(files-shared, 0), 0)
}

// fieldsOf reads a file of a word and a number a line.
func fieldsOf(file string) (map[string]int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	found := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				found[f[0]] = n
			}
		}
	}
	return found, true
}

// countedUsage asks the engine. The processors in use take a second answer, for which there may be no time.
func (r *Runtime) countedUsage(ctx context.Context, id string) (provisioner.Usage, error) {
	used := provisioner.Unknown()
	first, err := r.stats(ctx, id, opUsage)
	if err != nil {
		return used, err
	}
	if first.Read.IsZero() {
		return used, r.uncounted(ctx, id, opUsage)
	}
	used = statsUsage(first)
	second, err := r.stats(ctx, id, opUsage)
	if err != nil {
		return used, nil //nolint:nilerr // what is known is told
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
		used.Memory = withoutFiles(count(s.MemoryStats.Usage), count(s.MemoryStats.Stats[files]), count(s.MemoryStats.Stats[shared]))
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

// begin sees to it that a sandbox's size is being read, unless it is known, was read just now or too many are. It gives what is closed
// when it is there; nil when nothing is to be waited for.
func (all *sizes) begin(r *Runtime, id string) <-chan struct{} {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.of == nil {
		all.of = map[string]*size{}
	}
	s := all.of[id]
	switch {
	case s == nil:
		if len(all.of) >= mostKnown {
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

func (all *sizes) read(r *Runtime, id string, s *size) {
	ctx, cancel := context.WithTimeout(r.net.bg, sizeFor)
	defer cancel()
	began := time.Now()
	c, _, err := r.api.ContainerInspectWithRaw(ctx, id, true)
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

// wait gives a sandbox's size once it is there; -1 when it does not come in time.
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
