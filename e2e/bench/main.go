// Command bench compares bothy with doing the same by hand, in the same run and interleaved: real binaries, real Terraform, real Docker
// engine. It prints a table and writes bench.json. It exits with 1 if something does not work, not if it is slow.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	n, ten, many, execs, fleet int
	claims, rate, large        int
	concurrency                int
	idleFor, settle            time.Duration
	out                        string
	trace                      bool
	only                       names

	// id marks everything made by hand, dir has all files, bin the binaries.
	id, dir, bin string
	daemons      map[string]*daemon
	hand         *byHand
	// handMany is how long making many by hand at once took, once that was measured.
	handMany []float64
	filled   bool
	rows     []result
	traces   []*traces
	began    time.Time
}

// brief are the flags of a run that only checks that every row works.
var brief = map[string]string{
	"n": "1", "ten": "1", "many": "2", "exec": "3", "claims": "2", "fleet": "100", "rate": "300", "large": "1000",
	"idle": "2s", "settle": "200ms",
}

func main() {
	b := &bench{began: time.Now(), bin: os.Getenv("BOTHY_BIN"), daemons: map[string]*daemon{}}
	flag.IntVar(&b.n, "n", 7, "rounds of cold-create and delete")
	flag.IntVar(&b.ten, "ten", 3, "rounds of many at once, and of recovery")
	flag.IntVar(&b.many, "many", 10, "how many are made at once, and how many a pool is filled with")
	flag.IntVar(&b.execs, "exec", 20, "repetitions of exec, ls and the rows among many environments")
	flag.IntVar(&b.claims, "claims", 30, "claims of a warm environment, running and paused")
	flag.IntVar(&b.fleet, "fleet", 1000, "environments of the fake driver")
	flag.IntVar(&b.rate, "rate", 1000, "claims of each row of claims a second")
	flag.IntVar(&b.large, "large", 10_000, "environments of the largest installation; a tenth and a hundredth are measured too")
	flag.IntVar(&b.concurrency, "concurrency", 0, "bothyd's concurrency; 0 for its default")
	flag.DurationVar(&b.idleFor, "idle", time.Minute, "how long to watch an idle daemon")
	flag.DurationVar(&b.settle, "settle", 1500*time.Millisecond, "how long the engine must be idle before the next measurement")
	flag.StringVar(&b.out, "out", "bench.json", "file to write")
	flag.BoolVar(&b.trace, "trace", false, "show where the time of a create goes")
	flag.Var(&b.only, "only", "rows to measure, comma-separated; a name includes the rows below it (warm-claim includes warm-claim/paused)")
	short := flag.Bool("short", false, "few repetitions, to check that every row works; other flags still apply")
	flag.Parse()
	if b.bin == "" {
		b.bin = "bin"
	}
	if err := errors.Join(shorten(*short), b.check()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// shorten sets the flags of a brief run that were not given.
func shorten(short bool) error {
	if !short {
		return nil
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range brief {
		if given[name] {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("set -%s: %w", name, err)
		}
	}
	return nil
}

// check validates the flags.
func (b *bench) check() error {
	if min(b.n, b.ten, b.many, b.execs, b.fleet, b.claims, b.rate) < 1 || b.large < 100 || b.idleFor <= 0 || b.settle < 0 || flag.NArg() > 0 {
		return errors.New("all counts and -idle must be above 0, -large at least 100, and there are no arguments")
	}
	return b.only.known(b.sections())
}

// run measures everything, cleans up, and reports the results, even if a part of it failed.
func (b *bench) run(ctx context.Context) error {
	err := b.measure(ctx)
	if len(b.rows) > 0 {
		fmt.Println()
		err = errors.Join(err, printTable(os.Stdout, b.rows), writeJSON(b.out, b.rows))
		fmt.Printf("\nOURS is a median unless HOW says otherwise; a ratio is of medians. /plain: providers started by each Terraform (terraform.warm off).\n"+
			"By hand all begin at once; bothyd begins as many as its concurrency allows.\n%.0f s in all; written to %s\n",
			time.Since(b.began).Seconds(), b.out)
	}
	if b.trace {
		for _, t := range b.traces {
			err = errors.Join(err, t.print(os.Stdout))
		}
	}
	return err
}

// measure frees capacity, measures the requested rows, and deletes everything again, whatever happened.
func (b *bench) measure(ctx context.Context) (err error) {
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return fmt.Errorf("find the binaries: %w", err)
	}
	b.id = "bothy-bench-" + strings.ToLower(rand.Text()[:8])
	// A unix socket's path has a short limit.
	if b.dir, err = os.MkdirTemp("", "bothy-bench-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() {
		b.say("cleaning up")
		for name := range b.daemons {
			err = errors.Join(err, b.stop(ctx, name))
		}
		if b.hand != nil {
			err = errors.Join(err, sweep(context.WithoutCancel(ctx), b.hand.label, false))
		}
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	for _, s := range b.sections() {
		if !b.only.any(s.rows) {
			continue
		}
		if err := s.run(ctx); err != nil && ctx.Err() != nil {
			return errors.New("interrupted") // not the errors of everything that was running
		} else if err != nil {
			return err
		}
	}
	return nil
}

// row adds a row if it was requested.
func (b *bench) row(r result) {
	if b.only.has(r.name) {
		b.rows = append(b.rows, r)
	}
}

// say reports progress on stderr.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
