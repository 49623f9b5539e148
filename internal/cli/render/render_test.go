package render_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/cli/render"
)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// play shows the same story on a display.
func play(streams *iostreams.IO) string {
	out := new(buffer)
	streams.Err = out
	p := render.New(streams.Guarded(), time.Now) // the bubble's clock
	p.Detail("before any phase")
	p.Phase("provisioning")
	time.Sleep(1200 * time.Millisecond)
	p.Detail("docker_container.sandbox: creating\x1b[2J\n")
	p.Phase("provisioning")
	time.Sleep(time.Second)
	p.Phase("copying source")
	for _, done := range []int64{1, 2, 300, 512, 1024} {
		p.Bytes(done, 1024)
		time.Sleep(200 * time.Millisecond)
	}
	p.Stop(true)
	p.Stop(false)
	p.Phase("too late")
	p.Detail("too late")
	p.Bytes(1, 1)
	return out.String()
}

func TestPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := `[  0.0s] provisioning
[  1.2s] provisioning: docker_container.sandbox: creating\u001b[2J
[  2.2s] copying source
[  2.6s] copying source: 300 B of 1 KiB
[  2.8s] copying source: 512 B of 1 KiB
[  3.0s] copying source: 1 KiB of 1 KiB
`
		if diff := cmp.Diff(want, play(&iostreams.IO{})); diff != "" {
			t.Errorf("plain display (-want +got):\n%s", diff)
		}
	})
}

// TestLongTransfersAreSeenToMove: every ten seconds, of whatever length; a short one of a patient display is not told at all.
func TestLongTransfersAreSeenToMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(buffer)
		streams := (&iostreams.IO{Err: out}).Guarded()
		quick := render.NewPatient(streams, time.Now)
		quick.Phase("copying")
		quick.Bytes(10, 10)
		quick.Stop(true)
		slow, unknown := render.New(streams, time.Now), render.NewPatient(streams, time.Now)
		slow.Phase("copying source")
		unknown.Phase("copying")
		for i := range int64(31) {
			slow.Bytes(i, 1<<20)
			unknown.Bytes(i<<20, 0)
			time.Sleep(time.Second)
		}
		want := `[  0.0s] copying source
[ 10.0s] copying source: 10 B of 1 MiB
[ 10.0s] copying: 10 MiB
[ 20.0s] copying source: 20 B of 1 MiB
[ 20.0s] copying: 20 MiB
[ 30.0s] copying source: 30 B of 1 MiB
[ 30.0s] copying: 30 MiB
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("display (-want +got):\n%s", diff)
		}
	})
}

func TestALiveLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := play(&iostreams.IO{ErrTTY: true, Color: true})
		if n := strings.Count(got, "\n"); n != 2 {
			t.Errorf("lasting lines = %d, want 2, one a phase:\n%q", n, got)
		}
		for _, want := range []string{
			"\r\x1b[K\x1b[32m✓\x1b[0m   2.2s provisioning\n",
			"\r\x1b[K\x1b[32m✓\x1b[0m   1.0s copying source  1 KiB\n",
			"\x1b[2mdocker_container.sandbox: creating\\u001b[2J\x1b[0m",
			"\x1b[36m⠋\x1b[0m   0.0s provisioning",
			"━━━━━━━━━━──────────  50 %  512 B of 1 KiB",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("live display lacks %q:\n%q", want, got)
			}
		}
		for _, never := range []string{"\x1b[2J", "too late", "before any"} {
			if strings.Contains(got, never) {
				t.Errorf("live display has %q:\n%q", never, got)
			}
		}
		for line := range strings.SplitSeq(got, "\r\x1b[K") {
			if n := len([]rune(line)); n > 80+len("\x1b[32m\x1b[0m\x1b[2m\x1b[0m") {
				t.Errorf("a line has %d characters, want at most the width of 80: %q", n, line)
			}
		}
	})
}

func TestAFailedPhaseIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(buffer)
		p := render.New((&iostreams.IO{Err: out, ErrTTY: true, Color: true}).Guarded(), time.Now)
		p.Phase("provisioning")
		p.Stop(false)
		if want := "\x1b[31m✗\x1b[0m   0.0s provisioning\n"; !strings.HasSuffix(out.String(), want) {
			t.Errorf("display = %q, want %q at its end", out, want)
		}
	})
}
