package chaos_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestSoak: two daemons on one PostgreSQL are busy for as long as -duration says, with a fault every 30 s (in the short
// form every 4). The daemon that is never killed takes no more at the end than it did at the beginning, and
// the oracle finds nothing.
func TestSoak(t *testing.T) {
	chance := seeded(t)
	every := min(30*time.Second, *duration/5)
	server := pgtest.Own(t, pgtest.Options{})
	h := mustHouse(t, setup{dsn: server.Database(t), daemons: 2})
	s := &script{h: h}
	if err := s.fillPools(t.Context()); err != nil {
		t.Fatal(err)
	}
	faults := []fault{
		{"kill -9", func() error { return h.daemons[0].signal(syscall.SIGKILL) }},
		{"creates fail half-way", func() error { return h.inject(fake.HalfCreate("container"), 3) }},
		{"stop, and go on", func() error { return h.pause(t, h.daemons[0], 4*time.Second) }},
		{"replies are lost", func() error {
			return errors.Join(h.inject(fake.LoseReply(fake.OpCreate), 3), h.inject(fake.LoseReply(fake.OpDestroy), 3))
		}},
		{"the database dies", func() error {
			server.Kill(t)
			return server.Restart(t.Context())
		}},
		{"the provider is slow", func() error {
			return h.inject(fake.Fault{Op: fake.OpCreate, Delay: 2 * time.Second, Times: 5}, 1)
		}},
		{"removals fail", func() error {
			return h.inject(fake.FailBefore(fake.OpDestroy, provisioner.Transient, "the soak says no"), 3)
		}},
	}
	load := startLoad(t.Context(), h, 4, chance)
	samples := soak(t, h, faults, every)
	load.end(t, s)
	s.mustSettle(t)
	t.Logf("%s, %d requests, %d kills\n%s", *duration, len(s.orders), h.killed(), table(samples))
	if len(samples) < 20 {
		t.Logf("too short to tell a slope")
		return
	}
	wantFlat(t, samples)
}

// fault is something that goes wrong during the soak.
type fault struct {
	name   string
	strike func() error
}

// sample is what the daemon that is never killed takes at one moment.
type sample struct {
	at                             time.Duration
	kib, goroutines, files, exists int
	fault                          string
}

// soak lets faults strike and takes a sample ten times between two of them.
func soak(t *testing.T, h *house, faults []fault, every time.Duration) (samples []sample) {
	t.Helper()
	began, strikes := time.Now(), 0
	for step := 0; time.Since(began) < *duration; step++ {
		time.Sleep(every / 10)
		taken, err := h.sample(h.daemons[1])
		if err != nil {
			t.Error(err)
			return samples
		}
		taken.at = time.Since(began)
		if step%10 == 9 && time.Since(began) < *duration-every/2 {
			f := faults[strikes%len(faults)]
			strikes++
			taken.fault = f.name
			if err := f.strike(); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		}
		samples = append(samples, taken)
	}
	return samples
}

func (h *house) inject(f fake.Fault, times int) error {
	f.Times = max(f.Times, times)
	_, err := h.world.Inject(f)
	return err
}

// pause freezes a daemon for longer than its hold on its hosts lasts.
func (h *house) pause(t *testing.T, d *daemon, span time.Duration) error {
	t.Helper()
	h.freeze(t, d)
	time.Sleep(span)
	return d.signal(syscall.SIGCONT)
}

// sample looks at a daemon from outside.
func (h *house) sample(d *daemon) (s sample, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.pid()))
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			s.kib, err = strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				return s, err
			}
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.pid()))
	if err != nil {
		return s, err
	}
	s.files = len(files)
	if text, err := os.ReadFile(d.goroutinesFile()); err == nil && len(text) > 0 {
		if s.goroutines, err = strconv.Atoi(string(text)); err != nil {
			return s, err
		}
	}
	all, err := h.world.All()
	s.exists = len(all)
	return s, err
}

// wantFlat compares the second quarter of the samples with the last: the first is for warming up.
func wantFlat(t *testing.T, samples []sample) {
	t.Helper()
	n := len(samples) / 4
	early, late := samples[n:2*n], samples[len(samples)-n:]
	for _, what := range []struct {
		name  string
		of    func(sample) int
		slack int
	}{
		{"memory in KiB", func(s sample) int { return s.kib }, 16 << 10},
		{"goroutines", func(s sample) int { return s.goroutines }, 30},
		{"open files", func(s sample) int { return s.files }, 20},
	} {
		before, after := median(early, what.of), median(late, what.of)
		if after > before+before/5+what.slack {
			t.Errorf("%s grew from %d to %d", what.name, before, after)
		}
	}
}

func median(samples []sample, of func(sample) int) int {
	var values []int
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// table shows at most thirty of the samples.
func table(samples []sample) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%8s %10s %10s %6s %9s  %s\n", "s", "RSS MiB", "goroutines", "files", "resources", "fault")
	for i, s := range samples {
		if s.fault == "" && i%max(1, len(samples)/30) != 0 {
			continue
		}
		fmt.Fprintf(&b, "%8.1f %10.1f %10d %6d %9d  %s\n", s.at.Seconds(), float64(s.kib)/1024, s.goroutines, s.files, s.exists, s.fault)
	}
	return b.String()
}
