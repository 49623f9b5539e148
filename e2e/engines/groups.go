//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// hierarchies are where control groups are mounted, of either version.
func hierarchies() ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	var points []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		at, kind := strings.Fields(before), strings.Fields(after)
		if len(at) > 4 && len(kind) > 0 && (kind[0] == "cgroup" || kind[0] == "cgroup2") && !slices.Contains(points, at[4]) {
			points = append(points, at[4])
		}
	}
	return points, lines.Err()
}

// makeGroups makes a control group in each hierarchy, and returns their directories.
func makeGroups(name string) (made []string, err error) {
	points, err := hierarchies()
	if err != nil {
		return nil, err
	}
	for _, point := range points {
		dir := filepath.Join(point, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as all control groups are
			return made, err
		}
		made = append(made, dir)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // with version 1 a new group may use none
			if err := inherit(point, dir, file); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

func inherit(from, to, file string) error {
	text, err := os.ReadFile(filepath.Join(from, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(to, file), text, 0)
}

// groupsGone is how long killed processes may take to leave their control groups.
const groupsGone = 2 * time.Minute

// removeGroups removes control groups and everything below them; processes in them are ending.
func removeGroups(name string) error {
	points, err := hierarchies()
	if err != nil {
		return err
	}
	until := time.Now().Add(groupsGone)
	var errs []error
	for _, point := range points {
		for {
			err := removeTree(filepath.Join(point, name))
			if errors.Is(err, syscall.EBUSY) && time.Now().Before(until) {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			errs = append(errs, err)
			break
		}
	}
	return errors.Join(errs...)
}

// removeTree removes a control group and those below it. The kernel removes its files.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return nil
}
