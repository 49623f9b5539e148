package confine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// probeTimeout bounds one try of a way.
const probeTimeout = 10 * time.Second

// tmpSize bounds /tmp of a box, which is memory.
const tmpSize = 64 << 20

// systemPaths are what a dynamically linked program needs.
var systemPaths = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"}

// networkPaths are what it needs to use a network.
var networkPaths = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"}

// findBubblewrap finds the flags with which bubblewrap works here: as root it can do without user namespaces.
func (c *Confiner) findBubblewrap(ctx context.Context) (way, string, error) {
	path := c.cfg.Bwrap
	if path == "" {
		var err error
		if path, err = exec.LookPath("bwrap"); err != nil {
			return way{}, "", errors.New("bubblewrap (bwrap) is not installed")
		}
	}
	var last error
	for _, flags := range [][]string{
		{"--unshare-all", "--unshare-user", "--disable-userns"},
		{"--unshare-all", "--unshare-user"},
		{"--unshare-all"},
	} {
		w := way{mode: Bubblewrap, bwrap: path, flags: flags}
		if last = c.tryBubblewrap(ctx, w); last == nil {
			return w, "", nil
		}
	}
	return way{}, "", fmt.Errorf("bubblewrap does not work here: %w", last)
}

// tryBubblewrap runs bubblewrap itself in a box: nothing else is sure to be there.
func (c *Confiner) tryBubblewrap(ctx context.Context, w way) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.bwrap, append(w.arguments(Box{Path: w.bwrap}), "--", w.bwrap, "--version")...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if err != nil {
		said, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
		return fmt.Errorf("%s (%w)", bytes.TrimPrefix(said, []byte("bwrap: ")), err)
	}
	return nil
}

// arguments of bubblewrap for a box, up to the program.
func (w way) arguments(b Box) []string {
	args := append([]string{}, w.flags...)
	if b.Network {
		args = append(args, "--share-net")
	}
	// The program is the first process of its namespace: it is who is interrupted, and nothing outlives it.
	args = append(args, "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--hostname", "box",
		"--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--size", fmt.Sprint(tmpSize), "--tmpfs", "/tmp")
	read := func(paths []string) {
		for _, path := range paths {
			args = append(args, "--ro-bind-try", path, path)
		}
	}
	read(systemPaths)
	if b.Network {
		read(networkPaths)
	}
	read(b.Read)
	args = append(args, "--ro-bind", b.Path, b.Path)
	for _, path := range b.Write {
		args = append(args, "--bind", path, path)
	}
	// The program cannot add what it was not given.
	args = append(args, "--remount-ro", "/")
	if b.Dir != "" {
		args = append(args, "--chdir", b.Dir)
	} else {
		args = append(args, "--chdir", "/")
	}
	return args
}

// launchBubblewrap starts a box whose program waits until it is under its bounds.
func (c *Confiner) launchBubblewrap(p *Process) (err error) {
	infoRead, infoWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer infoRead.Close() //nolint:errcheck // only read from
	goRead, goWrite, err := os.Pipe()
	if err != nil {
		return errors.Join(err, infoWrite.Close())
	}
	defer goWrite.Close() //nolint:errcheck // what matters was written, or an error said
	args := append(c.way.arguments(p.box), "--info-fd", "3", "--block-fd", "4", "--", p.box.Path)
	p.cmd = p.command(c.way.bwrap, append(args, p.box.Args...)...)
	p.cmd.Dir = "/"
	p.cmd.ExtraFiles = []*os.File{infoWrite, goRead}
	err = p.cmd.Start()
	if closing := errors.Join(infoWrite.Close(), goRead.Close()); err == nil && closing != nil {
		err = errors.Join(closing, p.cmd.Process.Kill(), ignoreExit(p.cmd.Wait()))
	}
	if err != nil {
		return err
	}
	abort := func(err error) error {
		kill := p.cmd.Process.Kill() // what it has started goes with it
		if errors.Is(kill, os.ErrProcessDone) {
			kill = nil
		}
		wait := p.cmd.Wait()
		var start *StartError
		if errors.As(p.verdict(wait), &start) {
			return start // it says why
		}
		return errors.Join(err, kill, ignoreExit(wait))
	}
	var info struct {
		ChildPid int `json:"child-pid"`
	}
	if err := json.NewDecoder(infoRead).Decode(&info); err != nil || info.ChildPid <= 0 {
		return abort(fmt.Errorf("bubblewrap does not tell what it started: %w", err))
	}
	// It waits for the word below, so the number is its own still.
	if p.inner, err = os.FindProcess(info.ChildPid); err != nil {
		return abort(fmt.Errorf("find the program in its box: %w", err))
	}
	if err := p.bind(info.ChildPid); err != nil {
		return abort(err)
	}
	if _, err := goWrite.Write([]byte{1}); err != nil {
		return abort(fmt.Errorf("let the program go: %w", err))
	}
	return nil
}
