package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what a process has used so far.
type usage struct {
	cpu time.Duration
	// residentMiB is the process's own memory, childrenMiB that of its children.
	residentMiB, childrenMiB float64
}

// usageOf reads a process's usage.
func usageOf(pid int) (usage, error) {
	var u usage
	var spent unix.Timespec
	if err := unix.ClockGettime(processorClock(pid), &spent); err != nil {
		return u, fmt.Errorf("read processor time of %d: %w", pid, err)
	}
	u.cpu = time.Duration(spent.Nano())
	var err error
	if u.residentMiB, err = residentMiB(strconv.Itoa(pid)); err != nil {
		return u, err
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return u, fmt.Errorf("list processes: %w", err)
	}
	for _, dir := range all {
		child := filepath.Base(dir)
		fields, err := statFields(child)
		if err != nil || fields[1] != strconv.Itoa(pid) {
			continue // another user's, or gone since
		}
		mib, err := residentMiB(child)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return u, err
		}
		u.childrenMiB += mib
	}
	return u, nil
}

// processorClock is a process's CPU-time clock, see clock_getcpuclockid(3). It is exact; /proc has only hundredths of a second, of which
// an idle daemon uses few.
func processorClock(pid int) int32 { return int32(^pid<<3 | 2) }

// statFields returns the fields of /proc/PID/stat from the third on; the second, a name, may contain anything.
func statFields(pid string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil, fmt.Errorf("look at process %s: %w", pid, err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 2 {
		return nil, fmt.Errorf("look at process %s: its stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

func residentMiB(pid string) (float64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "statm"))
	if err != nil {
		return 0, fmt.Errorf("look at process %s: %w", pid, err)
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0, nil // it has just ended
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read memory of process %s: %w", pid, err)
	}
	return float64(pages*int64(os.Getpagesize())) / (1 << 20), nil
}
