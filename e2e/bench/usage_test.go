package main

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUsageCountsProcessorTime: what the kernel's accounting says a process took is what the benchmark says.
func TestUsageCountsProcessorTime(t *testing.T) {
	taken := func() time.Duration {
		var r unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
			t.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	start := taken()
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	began := taken()
	for taken()-began < 50*time.Millisecond {
		continue
	}
	worked := taken() - began
	after, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	all := taken() - start
	const tick = 10 * time.Millisecond // as exact as the accounting is on some kernels
	if got := after.cpu - before.cpu; got < worked-tick || got > all+tick {
		t.Errorf("it took %s, the accounting says %s to %s", got, worked, all)
	}
	if after.residentMiB < 1 {
		t.Errorf("it has %.1f MiB", after.residentMiB)
	}
}
