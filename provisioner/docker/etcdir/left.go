package etcdir

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Left is the folder of a Store whose engine is no longer reached. After is the age from which a folder was left behind.
type Left struct {
	Dir   string
	After time.Duration
}

// LeftIn returns what a Store left in its folder.
func LeftIn(dir string) Left { return Left{Dir: dir, After: leftAfter} }

// Kept lists the environments that have a folder as their /etc.
func (e Left) Kept(context.Context) ([]string, error) {
	all, err := os.ReadDir(filepath.Join(e.Dir, "live"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, etcFault(err)
	}
	var environments []string
	for _, d := range all {
		environment, _, _ := strings.Cut(d.Name(), ".")
		environments = append(environments, environment)
	}
	return environments, nil
}

// Discard removes the folders of an environment that no process of this machine has mounted, nor is about to: young ones stay.
func (e Left) Discard(_ context.Context, environment string) error {
	live := filepath.Join(e.Dir, "live")
	all, err := os.ReadDir(live)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return etcFault(err)
	}
	var errs []error
	for _, d := range all {
		if of, _, _ := strings.Cut(d.Name(), "."); of != environment {
			continue
		}
		info, err := d.Info()
		if err != nil || time.Since(madeAt(info)) < e.After {
			continue
		}
		mounted, err := mountedAnywhere(d.Name())
		if err == nil && !mounted {
			err = os.RemoveAll(filepath.Join(live, d.Name()))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return etcFault(err)
	}
	return nil
}

func etcFault(err error) error {
	return &provisioner.Error{Class: provisioner.Transient, Op: "sweep directories", Sentence: err.Error(), Err: err}
}

// mountedAnywhere reports whether a process of this machine has a folder mounted, whose name nothing else has. A process whose mounts may
// not be read is an error: it may be one that has.
func mountedAnywhere(name string) (bool, error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return false, err
	}
	seen := map[string]bool{} // mount namespaces
	for _, dir := range processes {
		namespace, err := os.Readlink(filepath.Join(dir, "ns", "mnt"))
		if err != nil && !hasMounts(dir) || err == nil && seen[namespace] {
			continue
		}
		if err != nil {
			return false, err
		}
		seen[namespace] = true
		has, err := mountsOf(dir, name)
		if has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// hasMounts reports whether a process may have a sandbox's mounts: not the machine's first, nor one that has ended.
func hasMounts(process string) bool {
	if filepath.Base(process) == "1" {
		return false
	}
	stat, err := os.ReadFile(filepath.Join(process, "stat"))
	if err != nil {
		return unlessGone(err) != nil
	}
	_, state, _ := strings.Cut(string(stat[max(strings.LastIndexByte(string(stat), ')'), 0):]), " ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func mountsOf(process, name string) (bool, error) {
	f, err := os.Open(filepath.Join(process, "mountinfo"))
	if err != nil {
		return false, unlessGone(err)
	}
	defer engine.CloseQuietly(f)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "/"+name) {
			return true, nil
		}
	}
	return false, unlessGone(lines.Err())
}

// unlessGone is an error about a process that has not ended meanwhile.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
