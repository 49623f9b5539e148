//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// canary is the prefix of what the suite plants for probes to find. An attempt gets only the rest, so that it does not find itself.
const canary = "bothy-canary-"

func init() {
	attempts["see"] = func(a []string) (string, error) { return seen("cmdline", a[0]) }
	attempts["environ"] = func(a []string) (string, error) { return seen("environ", a[0]) }
	attempts["signal"] = func(a []string) (string, error) { return signalTo(a[0]) }
	attempts["trace"] = func(a []string) (string, error) { return trace(a[0]) }
	attempts["status"] = func(a []string) (string, error) { return status(a[0], a[1]) }
	attempts["capabilities"] = func(a []string) (string, error) { return capabilities(a[0], a[1]) }
	attempts["cgroup-path"] = func([]string) (string, error) { return cgroupPath() }
	attempts["is-host"] = func(a []string) (string, error) { return isHost(a[0]) }
	attempts["shared-memory"] = func(a []string) (string, error) { return sharedMemory(a[0]) }
	attempts["raise"] = func(a []string) (string, error) { return raise(a[0], a[1:]...) }
}

// processes returns the directories in /proc whose file has the canary.
func processes(file, token string) ([]string, error) {
	all, err := filepath.Glob("/proc/[0-9]*/" + file)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil { // gone, or not ours to read
			continue
		}
		if bytes.Contains(text, []byte(canary+token)) {
			found = append(found, filepath.Dir(path))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%d processes, none of them it: %w", len(all), errNone)
	}
	return found, nil
}

func seen(file, token string) (string, error) {
	found, err := processes(file, token)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%s has it", found[0], file), nil
}

// signalTo sends signal 0 to the process: the kernel checks the permission to signal, and nothing else happens.
func signalTo(token string) (string, error) {
	found, err := processes("cmdline", token)
	if err != nil {
		return "", err
	}
	pid, err := strconv.Atoi(filepath.Base(found[0]))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("may signal %d", pid), unix.Kill(pid, 0)
}

// trace attaches to a process without stopping it.
func trace(pid string) (string, error) {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return "", brokenf("%v", err)
	}
	if err := unix.PtraceSeize(n); err != nil {
		return "", err
	}
	return "attached to " + pid, nil // detached as this process ends
}

// status compares a line of /proc/self/status with its expected value.
func status(field, want string) (string, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			if value = strings.TrimSpace(value); value != want {
				return field + " is " + value, nil
			}
			return "", fmt.Errorf("%s is %s", field, want)
		}
	}
	return "", brokenf("no field %s", field)
}

// capabilities looks for any beyond a mask (in hex) in one of this process's sets.
func capabilities(set, mask string) (string, error) {
	allowed, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		return "", brokenf("%v", err)
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Cap"+set+":"); ok {
			has, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err != nil {
				return "", err
			}
			if more := has &^ allowed; more != 0 {
				return fmt.Sprintf("Cap%s has %x beyond %s", set, more, mask), nil
			}
			return "", fmt.Errorf("the set Cap%s is %x", set, has)
		}
	}
	return "", brokenf("no set %s", set)
}

// cgroupPath reports whether the machine's cgroups are visible.
func cgroupPath() (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && parts[2] != "/" {
			return "this is " + parts[2], nil
		}
	}
	return "", errors.New("every cgroup is the visible root")
}

func isHost(name string) (string, error) {
	mine, err := os.Hostname()
	if err != nil {
		return "", err
	}
	if mine != name {
		return "", fmt.Errorf("this is %s", mine)
	}
	return "this is " + name, nil
}

// sharedMemory attaches a System V segment by its key.
func sharedMemory(key string) (string, error) {
	n, err := strconv.Atoi(key)
	if err != nil {
		return "", brokenf("%v", err)
	}
	id, err := unix.SysvShmGet(n, 0, 0)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("segment %d", id), nil
}

// raise asks the machine for more than was granted.
func raise(what string, to ...string) (string, error) {
	switch what {
	case "oom":
		return "lowered oom_score_adj", os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0)
	case "nice":
		return "took priority -5", unix.Setpriority(unix.PRIO_PROCESS, 0, -5)
	case "io":
		const self, realtime = 1, 1 << 13
		_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, self, 0, realtime|4)
		if errno != 0 {
			return "", errno
		}
		return "took real-time disk priority", nil
	case "lock":
		b := make([]byte, 80<<20)
		return "locked 80 MiB", unix.Mlock(b)
	case "files":
		return "raised nofile", raiseLimit(unix.RLIMIT_NOFILE, to[0])
	case "core":
		return "raised core", raiseLimit(unix.RLIMIT_CORE, to[0])
	}
	return "", brokenf("%q cannot be raised", what)
}

// raiseLimit sets a limit, hard and soft, to at least n.
func raiseLimit(which int, to string) error {
	n, err := strconv.ParseUint(to, 10, 64)
	if err != nil {
		return brokenf("%v", err)
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(which, &l); err != nil {
		return err
	}
	l.Cur, l.Max = n, max(n, l.Max)
	return unix.Setrlimit(which, &l)
}
