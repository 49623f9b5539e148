package fleet

// EndCause says why a command inside ended that did not end by itself.
type EndCause string

// The causes.
const (
	// EndedOutOfMemory: the kernel ended processes of the sandbox for want of memory while it ran.
	EndedOutOfMemory EndCause = "out_of_memory"
	// EndedProcesses: the sandbox had as many processes as it may while it ran, and was refused another.
	EndedProcesses EndCause = "process_limit"
	// EndedExpired: the lease ended.
	EndedExpired EndCause = "lease_ended"
	// EndedReleased: somebody released the environment.
	EndedReleased EndCause = "released"
	// EndedStopped: the sandbox stopped or was removed.
	EndedStopped EndCause = "stopped"
	// EndedKilled: something inside sent it the signal KILL.
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
	// Cause is empty when it ended by itself.
	Cause EndCause
	// By is who released the environment.
	By string
	// Killed is how many processes were ended for want of memory.
	Killed int64
	// Size is the environment's size, Larger the name of the next one with more memory; "" when there is none.
	Size   Size
	Larger string
}

// LargerThan gives the size with the least memory above that of s; false when there is none.
func (b Blueprint) LargerThan(s Size) (larger Size, ok bool) {
	for _, other := range b.Sizes {
		if other.MemoryMiB > s.MemoryMiB && (!ok || other.MemoryMiB < larger.MemoryMiB) {
			larger, ok = other, true
		}
	}
	return larger, ok
}
