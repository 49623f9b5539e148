// Command bench measures bothy against doing the same by hand, in the same run
// and interleaved: real binaries, real Terraform, real Docker engine. It prints a table and
// writes bench.json. Being slow is no failure, not working is: then it exits with 1.
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
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	n, ten, execs, fleet int
	concurrency          int
	idleFor              time.Duration
	out                  string
	trace                bool

	// id marks what is made by hand, dir holds everything, bin the binaries.
	id, dir, bin string
	rows         []result
	traces       []*traces
	began        time.Time
}

func main() {
	b := &bench{began: time.Now(), bin: os.Getenv("BOTHY_BIN")}
	flag.IntVar(&b.n, "n", 7, "rounds of cold-create and delete")
	flag.IntVar(&b.ten, "ten", 3, "rounds of ten at once")
	flag.IntVar(&b.execs, "exec", 20, "repetitions of exec and ls")
	flag.IntVar(&b.fleet, "fleet", 1000, "environments of the fake driver")
	flag.IntVar(&b.concurrency, "concurrency", 0, "bothyd's concurrency; 0 for its default")
	flag.DurationVar(&b.idleFor, "idle", time.Minute, "how long to look at an idle daemon")
	flag.StringVar(&b.out, "out", "bench.json", "file to write")
	flag.BoolVar(&b.trace, "trace", false, "tell where the time of a create goes")
	flag.Parse()
	if b.bin == "" {
		b.bin = "bin"
	}
	if min(b.n, b.ten, b.execs, b.fleet) < 1 || b.idleFor <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "bench: -n, -ten, -exec, -fleet and -idle must be above 0, and there are no arguments")
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

// run measures everything and cleans up, then tells what was found, also when a part of it did not work.
func (b *bench) run(ctx context.Context) error {
	err := b.measure(ctx)
	if len(b.rows) > 0 {
		fmt.Println()
		err = errors.Join(err, printTable(os.Stdout, b.rows), writeJSON(b.out, b.rows))
		fmt.Printf("\nMedians; a ratio is of medians. /plain: providers started by each Terraform (terraform.warm off).\n"+
			"By hand all ten begin at once; bothyd begins as many as its concurrency lets through.\n%.0f s in all; written to %s\n",
			time.Since(b.began).Seconds(), b.out)
	}
	if b.trace {
		for _, t := range b.traces {
			err = errors.Join(err, t.print(os.Stdout))
		}
	}
	return err
}

// measure starts what is needed, measures, and takes everything away again, whatever happened.
func (b *bench) measure(ctx context.Context) (err error) {
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return fmt.Errorf("find the binaries: %w", err)
	}
	b.id = "bothy-bench-" + strings.ToLower(rand.Text()[:8])
	// A unix socket's path has a short limit.
	if b.dir, err = os.MkdirTemp("", "bothy-bench-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	cleanUp := context.WithoutCancel(ctx)
	defer func() {
		b.say("cleaning up")
		err = errors.Join(err, sweep(cleanUp, labelName+"="+b.id, false), os.RemoveAll(b.dir))
	}()

	hand, err := newByHand(ctx, b)
	if err != nil {
		return fmt.Errorf("set up doing it by hand: %w", err)
	}
	start := func(name string, real bool, flags ...string) (*daemon, func(), error) {
		b.say("starting bothyd (%s)", name)
		if b.concurrency > 0 && real {
			flags = append(flags, "--concurrency="+strconv.Itoa(b.concurrency))
		}
		d, startErr := startDaemon(ctx, b, name, flags...)
		stop := func() {
			if d != nil && d.cmd.Process != nil {
				err = errors.Join(err, d.stop(cleanUp, real))
			}
		}
		return d, stop, startErr
	}
	warm, stopWarm, err := start("warm", true)
	defer stopWarm()
	if err != nil {
		return err
	}
	plain, stopPlain, err := start("plain", true, "--terraform-warm=false")
	defer stopPlain()
	if err != nil {
		return err
	}
	if err := b.lifecycle(ctx, warm, plain, hand); err != nil {
		return brief(ctx, err)
	}
	if err := b.exec(ctx, warm); err != nil {
		return brief(ctx, err)
	}
	fake, stopFake, err := start("fake", false, "--driver=fake", "--concurrency=64")
	defer stopFake()
	if err != nil {
		return err
	}
	if err := b.list(ctx, fake); err != nil {
		return brief(ctx, err)
	}
	return brief(ctx, b.idle(ctx, warm, fake))
}

// brief says one thing after Ctrl-C, not what everything that was under way had to say.
func brief(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

func (b *bench) row(r result) { b.rows = append(b.rows, r) }

// say tells on stderr what goes on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
