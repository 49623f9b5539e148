package fleet

// EndCause is why a command inside was ended from outside.
type EndCause string

// The causes.
const (
	// EndedOutOfMemory: the kernel killed processes of the sandbox for lack of memory while it ran.
	EndedOutOfMemory EndCause = "out_of_memory"
	// EndedProcesses: the sandbox reached its limit of processes while it ran.
	EndedProcesses EndCause = "process_limit"
	// EndedExpired: the lease ended.
	EndedExpired EndCause = "lease_ended"
	// EndedReleased: somebody released the environment.
	EndedReleased EndCause = "released"
	// EndedStopped: the sandbox stopped or was removed.
	EndedStopped EndCause = "stopped"
	// EndedKilled: a process inside sent it the signal KILL.
	EndedKilled EndCause = "killed"
)

// EndCauses lists the causes.
func EndCauses() []EndCause {
	return []EndCause{EndedOutOfMemory, EndedProcesses, EndedExpired, EndedReleased, EndedStopped, EndedKilled}
}

// ExecEnd is how a command inside an environment ended.
type ExecEnd struct {
	// Code is its exit code, 128+n when signal n ended it.
	Code int
	// Cause is empty when the command ended by itself.
	Cause EndCause
	// By is the user who released the environment.
	By string
	// Killed is how many processes were killed for lack of memory.
	Killed int64
	// Size is the environment's size, Larger the name of the next one with more memory; "" when there is none.
	Size   Size
	Larger string
}

// LargerThan returns the smallest size with more memory than s; false when there is none.
func (b Blueprint) LargerThan(s Size) (larger Size, ok bool) {
	for _, other := range b.Sizes {
		if other.MemoryMiB > s.MemoryMiB && (!ok || other.MemoryMiB < larger.MemoryMiB) {
			larger, ok = other, true
		}
	}
	return larger, ok
}
