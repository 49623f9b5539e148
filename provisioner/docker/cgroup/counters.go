package cgroup

import (
	"path/filepath"
	"time"
)

// ForksRefused reads how often a control group was full; -1 when it cannot be read.
func ForksRefused(group string) int64 {
	if n, ok := Field(filepath.Join(group, "pids.events"), "max"); ok && group != "" {
		return n
	}
	return -1
}

// OOMKills reads how many processes of a control group were ended for lack of memory; -1 when it cannot be read.
func OOMKills(group string) int64 {
	if group == "" {
		return -1
	}
	for _, file := range []string{"memory.events", "memory.oom_control"} { // of cgroup v2, and of v1
		if n, ok := Field(filepath.Join(group, file), "oom_kill"); ok {
			return n
		}
	}
	return -1
}

// CPUTime reads the processor time of a control group; false when it cannot be read.
func CPUTime(group string) (time.Duration, bool) {
	if group == "" {
		return 0, false
	}
	if n, ok := ReadCount(filepath.Join(group, "cpuacct.usage")); ok {
		return time.Duration(n), true
	}
	n, ok := Field(filepath.Join(group, "cpu.stat"), "usage_usec")
	return time.Duration(n) * time.Microsecond, ok
}

// Memory reads the memory of a control group but for files' pages, which the kernel drops when it needs the room; -1 when
// it cannot be read. What is in a tmpfs counts as a file's with both versions, and stays.
func Memory(group string) int64 {
	if group == "" {
		return -1
	}
	held, ok := ReadCount(filepath.Join(group, "memory.current"))
	files, shared := "file", "shmem"
	if !ok {
		held, ok = ReadCount(filepath.Join(group, "memory.usage_in_bytes"))
		files, shared = "total_cache", "total_shmem"
	}
	if !ok {
		return -1
	}
	stat, ok := Fields(filepath.Join(group, "memory.stat"))
	if !ok {
		return -1
	}
	return WithoutFiles(held, stat[files], stat[shared])
}

// WithoutFiles takes files' pages off; the numbers are not of one moment.
func WithoutFiles(held, files, shared int64) int64 {
	return max(held-max(files-shared, 0), 0)
}
