package env

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// TestUsageRows: each number stands beside its limit; what the daemon cannot tell is unknown, and of an older daemon's answer there is
// nothing.
func TestUsageRows(t *testing.T) {
	env := wire.Environment{Size: wire.Size{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512}}
	if rows := usage(env); rows != nil {
		t.Errorf("rows of nothing: %v", rows)
	}
	env.Usage = &wire.EnvironmentUsage{CPUs: new(0.5), MemoryBytes: new(int64(212 << 20)), Processes: new(int64(14)), Unknown: []string{wire.UsageDisk}}
	want := [][2]string{{"CPU", "0.50 of 1 CPUs"}, {"Memory", "212 MiB of 1 GiB"}, {"Processes", "14 of 512"}, {"Disk", "unknown"}}
	if diff := cmp.Diff(want, usage(env)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
