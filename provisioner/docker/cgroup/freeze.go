package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// freezeFor bounds the wait until a control group is frozen. Killing goes on without: the passes repeat.
const freezeFor = 500 * time.Millisecond

// Freeze stops a control group's processes, or lets them go on. What has no freezer is left: a kill repeats instead.
func Freeze(group string, on bool) {
	name, value := "freezer.state", "THAWED"
	if on {
		value = "FROZEN"
	}
	if _, err := os.Stat(filepath.Join(group, name)); err != nil {
		name, value = "cgroup.freeze", "0"
		if on {
			value = "1"
		}
	}
	at := filepath.Join(group, name)
	for until := time.Now().Add(freezeFor); ; time.Sleep(5 * time.Millisecond) {
		if err := os.WriteFile(at, []byte(value), 0); err != nil || frozen(group, name, value) || time.Now().After(until) {
			return
		}
	}
}

// IsFrozen reports whether a control group was frozen by its own file.
func IsFrozen(group string) bool {
	for _, file := range []string{"freezer.self_freezing", "cgroup.freeze"} {
		if n, ok := ReadCount(filepath.Join(group, file)); ok {
			return n != 0
		}
	}
	return false
}

// frozen reports whether a control group's processes are as the value of its freezer says, or are unknown.
func frozen(group, name, value string) bool {
	if name == "freezer.state" {
		state, err := os.ReadFile(filepath.Join(group, name))
		return err != nil || strings.TrimSpace(string(state)) == value
	}
	is, ok := Field(filepath.Join(group, "cgroup.events"), "frozen")
	return !ok || strconv.FormatInt(is, 10) == value
}
