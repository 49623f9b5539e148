package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// project is the demo's bothy.yaml.
const project = `# What "bothy up" creates in this directory.
version: 1
name: hello
blueprint: build
size: medium
ttl: 1h
`

// shortLease is the lease of the environment that nobody deletes.
const shortLease = 20 * time.Second

// found are the demo's results.
type found struct {
	ready      time.Duration // of `bothy up`, source included
	sinceStart time.Duration // time since the demo began
	prepare    time.Duration // package lists, build dependencies, source
	build      time.Duration
	tests      int
	deb        built
	hello      wire.Environment // once it was gone
	brief      ending
	left       []string
}

// tell plays the demo. It returns the results so far.
func (s *stage) tell(ctx context.Context) (f found, err error) {
	s.say.Chapter("1. The daemon, with a state directory and a socket of its own")
	if err := s.mayGuard(ctx); err != nil {
		return f, err
	}
	if err := s.startDaemon(ctx); err != nil {
		return f, err
	}
	s.say.Say("it is ready: process %d, instance %s", s.daemon.pid, s.run.Instance)
	if err := s.withDaemon(ctx, func(ctx context.Context) error { return s.work(ctx, &f) }); err != nil {
		return f, err
	}

	s.say.Chapter("7. Nothing is left")
	if err := s.stopDaemon(ctx); err != nil {
		return f, err
	}
	s.empty = true
	f.left, err = left(ctx, s.engine, labelInstance, s.run.Instance)
	if err != nil {
		return f, err
	}
	s.say.Say("containers, networks and volumes with the label %s=%s at Docker: %d", labelInstance, s.run.Instance, len(f.left))
	return f, nil
}

// withDaemon runs do, and ends it if the daemon dies.
func (s *stage) withDaemon(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := s.daemon
	go func() {
		select {
		case <-d.done:
			cancel(d.ended())
		case <-ctx.Done():
		}
	}()
	return do(ctx)
}

// work is everything that requires the daemon.
func (s *stage) work(ctx context.Context, f *found) error {
	if err := s.first(ctx, f); err != nil {
		return err
	}
	s.say.Chapter("3. A second one for " + shortLease.String() + ", which nobody will delete")
	if _, err := s.bothy(ctx, "up", "--name", "brief", "--size", "small", "--ttl", shortLease.String(), "--source", "none"); err != nil {
		return err
	}
	ended, err := s.watchEnd(ctx, "brief")
	if err != nil {
		return err
	}
	if _, err := s.bothy(ctx, "ls"); err != nil {
		return err
	}
	if err := s.build(ctx, f); err != nil {
		return err
	}
	if err := s.takeOut(ctx, f); err != nil {
		return err
	}

	s.say.Chapter("6. Its cost, and deleting it")
	if _, err := s.bothy(ctx, "show", "hello"); err != nil {
		return err
	}
	hello, err := s.api.environment(ctx, "hello")
	if err != nil {
		return err
	}
	if f.brief, err = await(ctx, ended); err != nil {
		return err
	}
	if _, err := s.bothy(ctx, "down", "hello"); err != nil {
		return err
	}
	if _, err := s.bothy(ctx, "ls", "--all"); err != nil {
		return err
	}
	f.hello, err = s.api.environment(ctx, hello.ID)
	return err
}

// first creates the environment for the main job.
func (s *stage) first(ctx context.Context, f *found) error {
	s.say.Chapter("2. An environment for a project with a bothy.yaml")
	s.dir = filepath.Join(s.run.Temp, "hello")
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the project: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "bothy.yaml"), []byte(project), 0o600); err != nil {
		return fmt.Errorf("make the project: %w", err)
	}
	s.say.Command("export BOTHY_HOST=unix://" + s.run.socket())
	s.say.Command("cd " + s.dir)
	if _, err := s.do(ctx, command{argv: []string{"cat", "bothy.yaml"}}); err != nil {
		return err
	}
	began := time.Now()
	if _, err := s.bothy(ctx, "up"); err != nil {
		return err
	}
	f.ready, f.sinceStart = time.Since(began), s.say.Elapsed()
	return nil
}

// build does the main job: a third party's source package, with its own test suite.
func (s *stage) build(ctx context.Context, f *found) error {
	s.say.Chapter("4. The main job: GNU hello from Debian's source, built and tested inside")
	began := time.Now()
	for _, c := range []command{
		{argv: []string{"bothy", "exec", "hello", "--user", "root", "--", "apt-get", "update"}, brief: regexp.MustCompile(`^(Fetched|[EW]:) `)},
		{argv: []string{"bothy", "exec", "hello", "--user", "root", "--", "apt-get", "build-dep", "-y", "hello"}, brief: regexp.MustCompile(`newly installed|^(Fetched|[EW]:) `)},
		{argv: []string{"bothy", "exec", "hello", "--", "apt-get", "source", "hello"}, brief: regexp.MustCompile(`^dpkg-source: info: |^(Fetched|[EW]:) `)},
	} {
		if err := s.timed(ctx, c); err != nil {
			return err
		}
	}
	f.prepare = time.Since(began)

	began = time.Now()
	output, err := s.do(ctx, command{
		argv:  []string{"bothy", "exec", "hello", "--", "sh", "-c", "cd hello-*/ && dpkg-buildpackage -us -uc -b"},
		brief: testLine,
	})
	if err != nil {
		return err
	}
	f.build = time.Since(began)
	if f.tests, err = tests(output); err != nil {
		return err
	}
	s.say.Good(fmt.Sprintf("built in %s; all %s of hello's own suite passed", elapsed(f.build), plural(f.tests, "test")))
	return nil
}

// timed runs a long command and reports how long it took.
func (s *stage) timed(ctx context.Context, c command) error {
	began := time.Now()
	if _, err := s.do(ctx, c); err != nil {
		return err
	}
	s.say.Say("done in %s", elapsed(time.Since(began)))
	return nil
}

// takeOut copies the package out and checks it.
func (s *stage) takeOut(ctx context.Context, f *found) error {
	s.say.Chapter("5. The package comes out")
	listing, err := s.bothy(ctx, "exec", "hello", "--", "sh", "-c", "ls -1 hello_*")
	if err != nil {
		return err
	}
	if f.deb, err = findDeb(listing); err != nil {
		return err
	}
	if _, err := s.bothy(ctx, "cp", "hello:"+f.deb.file, "."); err != nil {
		return err
	}
	if at, err := os.Stat(filepath.Join(s.dir, f.deb.file)); err != nil || !at.Mode().IsRegular() || at.Size() == 0 {
		return errors.Join(fmt.Errorf("copy the package out: there is no %s here", f.deb.file), err)
	}
	show := []string{"dpkg-deb", "-I", f.deb.file}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		show = append([]string{"bothy", "exec", "hello", "--"}, show...)
	}
	info, err := s.do(ctx, command{argv: show})
	if err != nil {
		return err
	}
	return checkControl(info, f.deb)
}

// report lists the results, and whether each promise was kept.
func (f found) report() []row {
	late, err := lateness(f.brief.env)
	lateRow := row{what: "20 s lease expired", figure: elapsed(late) + " late", note: fmt.Sprintf("gone that long after its end; at most %s is promised", allowedLate)}
	if err != nil {
		lateRow.figure, lateRow.note = "", err.Error()
	}
	if n := len(f.brief.left); n > 0 {
		lateRow.note = fmt.Sprintf("but %d left at Docker: %s", n, strings.Join(f.brief.left, ", "))
	}
	// Before its end is as wrong as long after.
	lateRow.failed = err != nil || late < 0 || late > allowedLate || len(f.brief.left) > 0
	cost := f.hello.Cost.AccruedMicros + f.brief.env.Cost.AccruedMicros
	currency := f.hello.Cost.Currency
	leftRow := row{what: "left at Docker", figure: fmt.Sprint(len(f.left)), note: "containers, networks, volumes with this daemon's label", failed: len(f.left) > 0}
	if leftRow.failed {
		leftRow.note = strings.Join(f.left, ", ")
	}
	return []row{
		{what: "time to ready", figure: elapsed(f.ready), note: fmt.Sprintf("bothy up: created by Terraform, source in place; %s after the demo's start", elapsed(f.sinceStart))},
		{what: "build", figure: elapsed(f.build), note: fmt.Sprintf("%s, its %s passed; %s before that for build dependencies and source", f.deb.file, plural(f.tests, "test"), elapsed(f.prepare))},
		lateRow,
		{
			what: "cost", figure: money(cost, currency), failed: cost <= 0 || f.hello.State != "destroyed",
			note: fmt.Sprintf("hello %s, brief %s", money(f.hello.Cost.AccruedMicros, currency), money(f.brief.env.Cost.AccruedMicros, currency)),
		},
		leftRow,
	}
}
