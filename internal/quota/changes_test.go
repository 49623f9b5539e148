package quota_test

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/quota"
)

func TestChanges(t *testing.T) {
	full := fleet.Limits{
		Environments: n(0), MilliCPUs: n(4500), MemoryMiB: n(2048), SecondsPerDay: n(5400), MicrosPerDay: n(2_500_000),
		MicrosPerMonth: n(1), MaxTTL: ttl(8 * time.Hour), Blueprints: []string{"run", "build"}, Sizes: []string{"small"},
	}
	other := full
	other.MicrosPerDay, other.Blueprints, other.MaxTTL = n(3_000_000), []string{"build", "run"}, nil
	for _, c := range []struct {
		was, is fleet.Limits
		want    string
	}{
		{fleet.Limits{}, full, "environments 0 (was no limit), CPU 4.5 (was no limit), memory 2048 MiB (was no limit), leased time a day 1h30m0s (was no limit), " +
			"money a day 2.50 (was no limit), money a month 0.000001 (was no limit), longest lease 8h0m0s (was no limit), " +
			"blueprints build run (was any), sizes small (was any)"},
		{full, other, "money a day 3.00 (was 2.50), longest lease no limit (was 8h0m0s)"},
		{fleet.Limits{Environments: n(1)}, fleet.Limits{}, "environments no limit (was 1)"},
		{full, full, "as they were"},
	} {
		if got := quota.Changes(c.was, c.is); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
