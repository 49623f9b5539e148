//go:build linux

// Command engines runs the suites that need a Docker engine against those of newer Debian releases: the conformance suites of
// both drivers, the isolation probes and the demo. Each engine runs on a machine of its own, made of namespaces and control
// groups (see machine.sh), and sees nothing of this machine's engine.
//
//	engines                                          every release, with each image store
//	engines -releases forky -stores overlay2 -suites docker,demo
//
// It needs root, and the roots that `.setup/setup.sh roots` makes. Exit code 0 says that no test failed anywhere.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/bothy-env/bothy/e2e/rig"
)

// A machine ends with the thread that started it, so the main goroutine keeps its thread.
func init() { runtime.LockOSThread() }

// cell is one engine in one configuration.
type cell struct{ release, store, firewall string }

func (c cell) String() string { return c.release + "-" + c.store + "-" + c.firewall }

// config is the engine's configuration file.
func (c cell) config() string {
	driver := map[string]string{"overlay2": "overlay2", "containerd": "overlayfs"}[c.store]
	said := map[string]any{"features": map[string]bool{"containerd-snapshotter": c.store == "containerd"}, "storage-driver": driver}
	if c.firewall != "iptables" {
		said["firewall-backend"] = c.firewall // an option of Docker 29 and newer: older versions do not start with it
	}
	text, err := json.Marshal(said)
	if err != nil {
		panic(err) // words and bools
	}
	return string(text)
}

func main() {
	releases := flag.String("releases", "", "the releases to try, comma-separated; \"\" means all that setup made")
	stores := flag.String("stores", "overlay2,containerd", "the image stores to try with each, comma-separated")
	firewalls := flag.String("firewalls", "iptables", "the engine's firewall backends, comma-separated: iptables, and nftables from Docker 29 on")
	suites := flag.String("suites", strings.Join(suiteNames(), ","), "the suites to run, comma-separated")
	run := flag.String("run", "", "only run matching tests of the suites in Go")
	results := flag.String("results", "", "for the machine itself: where to write its results")
	logs := flag.String("logs", "", "for the machine itself: prefix of the names of logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if *results != "" {
		exit(inside(ctx, words(*suites), *run, *logs, *results))
	}
	p, err := prepare(ctx, words(*releases))
	if err != nil {
		exit(err)
	}
	var found []outcome
	for _, release := range p.releases {
		for _, store := range words(*stores) {
			for _, firewall := range words(*firewalls) {
				o := p.try(ctx, cell{release, store, firewall}, "-suites", *suites, "-run", *run)
				found = append(found, o)
				if ctx.Err() != nil {
					break
				}
			}
		}
	}
	err = errors.Join(p.close(), context.Cause(ctx))
	report(os.Stdout, found)
	if slices.ContainsFunc(found, outcome.failed) {
		err = errors.Join(err, errors.New("an engine failed; the logs are in "+p.logs()))
	}
	exit(err)
}

// exit ends the program; os.Exit runs no deferred calls, and none are left.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// place is the directory that several engines share.
type place struct {
	cache, dir string
	releases   []string
	lock       *os.File
}

func (p *place) logs() string { return filepath.Join(p.cache, "logs") }

// prepare checks the requirements, and removes leftovers of a killed run.
func prepare(ctx context.Context, releases []string) (*place, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("this requires root, for namespaces, mounts and control groups: run it as root")
	}
	p := &place{cache: rig.CacheDir(), releases: releases}
	at := filepath.Join(p.cache, "engines")
	roots, err := filepath.Glob(filepath.Join(at, "*", "usr", "sbin", "dockerd"))
	if err != nil {
		return nil, err
	}
	var have []string
	for _, root := range roots {
		have = append(have, filepath.Base(strings.TrimSuffix(root, "/usr/sbin/dockerd")))
	}
	if len(releases) == 0 {
		p.releases = have
	}
	for _, release := range p.releases {
		if !slices.Contains(have, release) {
			return nil, fmt.Errorf("no root of the release %q in %s: run .setup/setup.sh roots", release, at)
		}
	}
	if len(p.releases) == 0 {
		return nil, fmt.Errorf("no roots in %s: run .setup/setup.sh roots", at)
	}
	if err := p.begin(at); err != nil {
		return nil, err
	}
	fmt.Println("images: bothy/base and bothy/build of this machine's engine")
	save := exec.CommandContext(ctx, "docker", "save", "--output", p.images(), "bothy/base", "bothy/build")
	if out, err := save.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("save the images, which make setup makes: %w: %s", err, out), p.close())
	}
	return p, nil
}

// begin makes the run's directory, locked while this process is alive, and removes those of killed runs.
func (p *place) begin(at string) (err error) {
	all, err := locked(filepath.Join(at, ".lock"), syscall.LOCK_EX) // one process at a time checks and creates
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	left, err := filepath.Glob(filepath.Join(at, "run-*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		lock, err := locked(filepath.Join(dir, "lock"), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue // it is running
		}
		if err != nil {
			return err
		}
		fmt.Println("left by a run that was killed:", dir)
		if err := errors.Join(removeGroups(groupName(dir)), os.RemoveAll(dir), lock.Close()); err != nil {
			return err
		}
	}
	if p.dir, err = os.MkdirTemp(at, "run-"); err != nil {
		return err
	}
	p.lock, err = locked(filepath.Join(p.dir, "lock"), syscall.LOCK_EX)
	return err
}

func locked(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

func (p *place) images() string { return filepath.Join(p.dir, "images.tar") }

func (p *place) close() error { return errors.Join(os.RemoveAll(p.dir), p.lock.Close()) }

// groupName is the name of a run's control groups, derived from its directory.
func groupName(dir string) string { return "bothy-engines-" + filepath.Base(dir) }
