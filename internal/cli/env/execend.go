package env

import (
	"fmt"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// tellEnded says on the error stream why a command ended that did not end by itself: its exit code does not tell.
func tellEnded(f *cmdutil.Factory, name string, end wire.ExecEnded) {
	sentence, hint := "", ""
	switch end.Cause {
	case wire.EndedOutOfMemory:
		processes := "1 process"
		if end.Processes != 1 {
			processes = fmt.Sprintf("%d processes", end.Processes)
		}
		sentence = fmt.Sprintf("environment %s ran out of memory: the kernel killed %s (size %s has %d MiB)", name, processes, end.Size, end.MemoryMiB)
		if end.Larger != "" {
			hint = "bothy up --size " + end.Larger
		}
	case wire.EndedProcesses:
		sentence = fmt.Sprintf("environment %s reached its process limit while the command ran (size %s has %d processes)", name, end.Size, end.Pids)
		hint = "bothy exec " + name + " -- ps -ef"
	case wire.EndedExpired:
		sentence, hint = fmt.Sprintf("the lease of %s ended, and the command with it", name), "bothy up --ttl TIME, or bothy extend ENV --by TIME while it runs"
	case wire.EndedReleased:
		sentence = fmt.Sprintf("%s deleted environment %s while the command ran", end.By, name)
	case wire.EndedStopped:
		sentence, hint = fmt.Sprintf("the sandbox of %s stopped while the command ran", name), "bothy why "+name
	case wire.EndedKilled:
		sentence = fmt.Sprintf("the command was killed (signal KILL) by a process in %s", name)
	default:
		return // a newer daemon's word
	}
	f.Note("bothy: %s", sentence)
	if hint != "" {
		f.Note("next: %s", hint)
	}
}

// tellStopped says what is not sure of a command that was to be ended.
func tellStopped(f *cmdutil.Factory, name string, said *wire.ExecResult) {
	switch {
	case said == nil:
		f.Note("bothy: the daemon did not say whether the command in %s has ended", name)
	case said.MayRun:
		f.Note("bothy: the command in %s may still run; bothyd keeps trying to end it", name)
	default:
		return
	}
	f.Note("next: bothy exec %s -- ps -ef", name)
}
