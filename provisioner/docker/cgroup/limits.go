package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits are what the kernel holds a container to. Unlimited is -1, and so is what this kernel does not tell.
type Limits struct {
	// Memory and Swap are bytes, Swap what may be swapped out beside them.
	Memory, Swap, Pids int64
	// CPUs are cores.
	CPUs float64
}

// Kernel is what a machine's kernel tells of its processes and control groups. Tests have a file tree of their own.
type Kernel struct{ Proc string }

// LimitsOf reads what the kernel holds a container to, by its first process.
func LimitsOf(pid int) (Limits, error) { return Kernel{Proc: "/proc"}.Limits(pid) }

// Limits reads what the kernel holds a container to, by its first process.
func (k Kernel) Limits(pid int) (Limits, error) {
	none := Limits{Memory: -1, Swap: -1, Pids: -1, CPUs: -1}
	mounted, err := os.Open(filepath.Join(k.Proc, "self", "mountinfo"))
	if err != nil {
		return none, err
	}
	defer func() { _ = mounted.Close() }() // was only read from
	groups, err := readMounts(bufio.NewScanner(mounted))
	if err != nil {
		return none, err
	}
	text, err := os.ReadFile(filepath.Join(k.Proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return none, err
	}
	// A line is "ID:CONTROLLERS:PATH"; that of version 2 has no controllers. Each controller is with one version only.
	dirs := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(f[1], ",") {
			if at := groups[controller]; at != "" {
				dirs[controller] = Own(filepath.Join(at, f[2]))
			}
		}
	}
	unified := dirs[""]
	for _, controller := range []string{"memory", "pids", "cpu"} {
		if dirs[controller] == "" && unified == "" {
			return none, fmt.Errorf("process %d is in no control group for %s that can be seen", pid, controller)
		}
	}
	var found Limits
	if dirs["memory"] == "" {
		found, err = UnifiedLimits(unified)
	} else {
		found, err = legacyLimits(dirs["memory"], dirs["pids"], dirs["cpu"])
	}
	if found.Swap == uncounted {
		found.Swap = 0
		if k.Swaps() {
			found.Swap = -1
		}
	}
	return found, err
}

// uncounted stands for the limit on swap where the kernel does not count it: then nobody keeps one.
const uncounted = -2

// legacyLimits reads them from folders of cgroup v1.
func legacyLimits(memory, pids, cpu string) (found Limits, err error) {
	found = Limits{Memory: -1, Swap: -1, Pids: -1, CPUs: -1}
	if found.Memory, err = limitIn(memory, "memory.limit_in_bytes"); err != nil {
		return found, err
	}
	both, err := limitIn(memory, "memory.memsw.limit_in_bytes")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found.Swap = uncounted
	case err != nil:
		return found, err
	case both >= 0:
		found.Swap = both - found.Memory
	}
	if found.Pids, err = limitIn(pids, "pids.max"); err != nil {
		return found, err
	}
	quota, err := limitIn(cpu, "cpu.cfs_quota_us")
	if err != nil {
		return found, err
	}
	period, err := limitIn(cpu, "cpu.cfs_period_us")
	if err == nil && quota > 0 && period > 0 {
		found.CPUs = float64(quota) / float64(period)
	}
	return found, err
}

// UnifiedLimits reads them from a folder of cgroup v2.
func UnifiedLimits(dir string) (found Limits, err error) {
	found = Limits{Memory: -1, Swap: -1, Pids: -1, CPUs: -1}
	if found.Memory, err = limitIn(dir, "memory.max"); err != nil {
		return found, err
	}
	if found.Swap, err = limitIn(dir, "memory.swap.max"); errors.Is(err, fs.ErrNotExist) {
		found.Swap = uncounted
	} else if err != nil {
		return found, err
	}
	if found.Pids, err = limitIn(dir, "pids.max"); err != nil {
		return found, err
	}
	cpu, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
	if err != nil {
		return found, err
	}
	words := strings.Fields(string(cpu))
	if len(words) == 0 || words[0] == "max" {
		return found, nil
	}
	if len(words) != 2 {
		return found, fmt.Errorf("read cpu.max %q: got %d words, want a quota and a period", cpu, len(words))
	}
	quota, err1 := strconv.ParseFloat(words[0], 64)
	period, err2 := strconv.ParseFloat(words[1], 64)
	if err := errors.Join(err1, err2); err != nil || period <= 0 {
		return found, fmt.Errorf("read cpu.max %q: %w", cpu, err)
	}
	found.CPUs = quota / period
	return found, nil
}

// unlimited is from where version 1 means "no limit": the largest number of pages in bytes, whatever their size.
const unlimited = 1 << 62

// limitIn reads a control group's limit; -1 is none.
func limitIn(dir, file string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return -1, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return -1, nil
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return -1, fmt.Errorf("read %s: %w", file, err)
	}
	if n >= unlimited {
		return -1, nil
	}
	return n, nil
}

// Swaps reports whether this machine has swap. A machine of which that cannot be read may have some.
func (k Kernel) Swaps() bool {
	text, err := os.ReadFile(k.Proc + "/swaps")
	return err != nil || strings.Count(strings.TrimSpace(string(text)), "\n") > 0 // the first line names the columns
}
