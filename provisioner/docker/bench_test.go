package docker_test

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// BenchmarkExecTrue runs true in a sandbox by this package and by the docker command, in turns.
// Run it with -benchtime 30x.
func BenchmarkExecTrue(b *testing.B) {
	e := newEngine(b)
	id := e.sandbox()
	cli, err := exec.LookPath("docker")
	if err != nil {
		b.Skip("needs the docker command:", err)
	}
	ours := func() {
		if code, err := e.Exec(b.Context(), id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); code != 0 || err != nil {
			b.Fatal(code, err)
		}
	}
	byHand := func() {
		if out, err := exec.Command(cli, "exec", id, "true").CombinedOutput(); err != nil {
			b.Fatal(err, string(out))
		}
	}
	ours()
	byHand()
	var a, h time.Duration
	for b.Loop() {
		a += timed(ours)
		h += timed(byHand)
	}
	report(b, "ours-ms", a)
	report(b, "byhand-ms", h)
	b.ReportMetric(float64(a)/float64(h), "ratio")
}

// BenchmarkDeliver hands a secret to a sandbox that was staged, which a claim waits for. Run it with -benchtime 50x.
func BenchmarkDeliver(b *testing.B) {
	e := newEngine(b)
	id := e.sandbox()
	var took []time.Duration
	var staging time.Duration
	for b.Loop() {
		var s provisioner.Stage
		staging += timed(func() { s = e.stage(id) })
		e.run(id, "sleep 0.05") // a pool's sandbox has waited for longer
		took = append(took, timed(func() {
			name := fmt.Sprint("token", len(took))
			if err := s.Deliver(b.Context(), []provisioner.File{{Name: name, Mode: 0o400, Data: make([]byte, 200)}}); err != nil {
				b.Fatal(err)
			}
		}))
	}
	slices.Sort(took)
	report(b, "stage-ms", staging)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkPause freezes a sandbox and thaws it, and measures its traffic.
func BenchmarkPause(b *testing.B) {
	e := newEngine(b)
	id := e.sandbox()
	var pause, unpause, traffic time.Duration
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		pause += timed(func() { must(e.Pause(b.Context(), id)) })
		unpause += timed(func() { must(e.Unpause(b.Context(), id)) })
		traffic += timed(func() { _, err := e.Traffic(b.Context(), id); must(err) })
	}
	report(b, "pause-ms", pause)
	report(b, "unpause-ms", unpause)
	report(b, "traffic-ms", traffic)
}

// BenchmarkReserve takes a spare network, and gives it back.
func BenchmarkReserve(b *testing.B) {
	e := newEngine(b, spare(1))
	e.reconcile()
	var reserve, release time.Duration
	for b.Loop() {
		until(b, "a spare network", func() bool { return e.Spares() == 1 })
		var name string
		reserve += timed(func() { name = e.ReserveNetwork() })
		until(b, "the refill", func() bool { return e.Spares() == 1 })
		release += timed(func() {
			if err := e.release(b.Context(), name); err != nil {
				b.Fatal(err)
			}
		})
	}
	report(b, "reserve-ms", reserve)
	report(b, "release-ms", release)
}

// BenchmarkReserveInline makes the network when it is asked for.
func BenchmarkReserveInline(b *testing.B) {
	e := newEngine(b)
	e.reconcile()
	var names []string
	var d time.Duration
	for b.Loop() {
		d += timed(func() { names = append(names, e.ReserveNetwork()) })
		if len(names) == 8 {
			for _, n := range names {
				if err := e.release(b.Context(), n); err != nil {
					b.Fatal(err)
				}
			}
			names = nil
		}
	}
	report(b, "reserve-ms", d)
}

// BenchmarkCopyTo unpacks a stream of 64 MiB.
func BenchmarkCopyTo(b *testing.B) {
	e := newEngine(b)
	id := e.sandbox()
	stream := packItems(b, item{Name: "f", Mode: 0o644, Data: string(make([]byte, 64<<20))}).Bytes()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		if err := e.CopyTo(b.Context(), id, "/workspace", "dev", struct{ io.Reader }{bytes.NewReader(stream)}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDial connects to a port inside, and closes the connection.
func BenchmarkDial(b *testing.B) {
	e := dockertest.Ported(b)
	id := e.Sandbox()
	e.Background(id, "serve", "7000")
	dial := func() {
		c, err := e.Dial(b.Context(), id, 7000)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	first := timed(dial) // the engine is asked once
	var took []time.Duration
	for b.Loop() {
		took = append(took, timed(dial))
	}
	slices.Sort(took)
	b.ReportMetric(float64(first.Microseconds())/1000, "first-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func timed(f func()) time.Duration {
	began := time.Now() // measures a duration
	f()
	return time.Since(began)
}

func report(b *testing.B, name string, d time.Duration) {
	b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), name)
}
