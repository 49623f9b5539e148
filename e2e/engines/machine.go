//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed machine.sh
var machineScript []byte

// try runs the suites on a separate machine with one engine, and removes the machine, whatever happened.
func (p *place) try(ctx context.Context, c cell, args ...string) (o outcome) {
	began := time.Now()
	o.cell = c
	fmt.Printf("\n== %s\n", c)
	dir, err := os.MkdirTemp(p.dir, c.release+"-")
	if err != nil {
		o.err = err
		return o
	}
	o.err = p.machine(ctx, c, dir, args)
	text, err := os.ReadFile(filepath.Join(dir, "results"))
	if err == nil {
		err = json.Unmarshal(text, &o.found)
	}
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("read the results: %w", err)
	}
	log := filepath.Join(p.logs(), "engines-"+c.String()+"-engine.log")
	if err := os.Rename(filepath.Join(dir, "engine.log"), log); err != nil && !errors.Is(err, os.ErrNotExist) {
		o.err = errors.Join(o.err, err)
	}
	o.err = errors.Join(o.err, removeGroups(groupName(p.dir)), os.RemoveAll(dir))
	if o.err != nil {
		fmt.Fprintln(os.Stderr, "engines:", o.err)
	}
	fmt.Printf("== %s: %s\n", c, time.Since(began).Round(time.Second))
	return o
}

// machine starts the machine and its network, and waits until it ends.
func (p *place) machine(ctx context.Context, c cell, dir string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	groups, err := makeGroups(groupName(p.dir))
	if err != nil {
		return fmt.Errorf("make control groups: %w", err)
	}
	script := filepath.Join(dir, "machine.sh")
	if err := os.WriteFile(script, machineScript, 0o600); err != nil {
		return err
	}
	root := filepath.Join(p.cache, "engines", c.release)
	args = append([]string{script, self, "-results", filepath.Join(dir, "results"), "-logs", filepath.Join(p.logs(), "engines-"+c.String())}, args...)
	machine := exec.Command("bash", args...) //nolint:gosec // our own script
	machine.Env = append(os.Environ(), "GROUPS_OF="+strings.Join(groups, " "), "ROOT="+root, "WORK="+dir, "CONFIG="+c.config(), "IMAGES="+p.images())
	machine.Stdout, machine.Stderr = os.Stdout, os.Stderr
	// Killing process 1 ends everything that ever ran on its machine.
	machine.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
	}
	if err := machine.Start(); err != nil {
		return fmt.Errorf("start a machine: %w", err)
	}
	network, err := userNetwork(root, machine.Process.Pid)
	if err != nil {
		return errors.Join(err, machine.Process.Kill(), ended(machine.Wait()))
	}
	over := make(chan error, 1)
	go func() { over <- machine.Wait() }()
	select {
	case err = <-over:
	case <-ctx.Done():
		err = errors.Join(context.Cause(ctx), machine.Process.Kill(), ended(<-over))
	}
	return errors.Join(err, network.Process.Kill(), ended(network.Wait()))
}

// ended ignores that a process was ended by our own signal.
func ended(err error) error {
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil
	}
	return err
}

// userNetwork gives a machine a network: slirp4netns forwards its connections as this process's own. It runs from the release's root with
// that root's loader, so that this machine needs no more packages.
func userNetwork(root string, pid int) (*exec.Cmd, error) {
	loaders, err := filepath.Glob(filepath.Join(root, "usr", "lib*", "ld-linux-*.so.*"))
	if err != nil {
		return nil, err
	}
	more, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-gnu*", "ld-linux-*.so.*"))
	if err != nil {
		return nil, err
	}
	libraries, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-gnu*"))
	if err != nil {
		return nil, err
	}
	loaders = append(more, loaders...)
	if len(loaders) == 0 {
		return nil, fmt.Errorf("no program loader in %s", root)
	}
	network := exec.Command(loaders[0], "--library-path", strings.Join(libraries, ":"), filepath.Join(root, "usr", "bin", "slirp4netns"), //nolint:gosec // in a root that setup made
		"--configure", "--mtu=1500", "--disable-host-loopback", "--netns-type=path", "/proc/"+strconv.Itoa(pid)+"/ns/net", "tap0")
	network.Stderr = os.Stderr
	network.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := network.Start(); err != nil {
		return nil, fmt.Errorf("start slirp4netns: %w", err)
	}
	return network, nil
}
