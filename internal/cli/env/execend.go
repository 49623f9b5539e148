package env

import (
	"fmt"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// tellEnded prints on stderr why bothy or the kernel ended a command: its exit code does not show that.
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
		sentence, hint = fmt.Sprintf("the command ended because the lease of %s expired", name), "bothy up --ttl TIME, or bothy extend ENV --by TIME before it expires"
	case wire.EndedReleased:
		sentence = fmt.Sprintf("%s deleted environment %s while the command ran", end.By, name)
	case wire.EndedStopped:
		sentence, hint = fmt.Sprintf("the sandbox of %s stopped while the command ran", name), "bothy why "+name
	case wire.EndedKilled:
		sentence = fmt.Sprintf("the command was killed (signal KILL) by a process in %s", name)
	default:
		return // a cause that only a newer daemon knows
	}
	f.Note("bothy: %s", sentence)
	if hint != "" {
		f.Note("hint: %s", hint)
	}
}

// tellStopped warns that a command which the user stopped may still run.
func tellStopped(f *cmdutil.Factory, name string, said *wire.ExecResult) {
	switch {
	case said == nil:
		f.Note("bothy: the command in %s may still run: the daemon did not confirm its end", name)
	case said.MayRun:
		f.Note("bothy: the command in %s may still run: bothyd keeps trying to end it", name)
	default:
		return
	}
	f.Note("hint: bothy exec %s -- ps -ef", name)
}
