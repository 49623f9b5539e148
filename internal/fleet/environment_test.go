package fleet_test

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

func TestLease(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hour := fleet.Lease{TTL: time.Hour, MaxTTL: 8 * time.Hour, Start: start, End: start.Add(time.Hour)}
	waiting := fleet.Lease{TTL: time.Hour, MaxTTL: 8 * time.Hour}
	over := fleet.Lease{TTL: 0, Start: start, End: start} // ended as it began
	for _, c := range []struct {
		name                   string
		lease                  fleet.Lease
		at                     time.Duration
		held, expired, warning bool
		left                   time.Duration
	}{
		{"not begun", waiting, 0, false, false, false, time.Hour},
		{"not begun, long after", waiting, 1000 * time.Hour, false, false, false, time.Hour},
		{"at its start", hour, 0, true, false, false, time.Hour},
		{"before its start, by a clock that went back", hour, -time.Hour, true, false, false, 2 * time.Hour},
		{"exactly 10 % left", hour, 54 * time.Minute, true, false, false, 6 * time.Minute},
		{"just under 10 % left", hour, 54*time.Minute + 1, true, false, true, 6*time.Minute - 1},
		{"just before its end", hour, time.Hour - 1, true, false, true, 1},
		{"at its end", hour, time.Hour, true, true, true, 0},
		{"just after its end", hour, time.Hour + 1, true, true, true, -1},
		{"a day after its end", hour, 25 * time.Hour, true, true, true, -24 * time.Hour},
		{"no time at all", over, 0, true, true, false, 0},
		{"no time at all, after", over, 1, true, true, true, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := start.Add(c.at)
			held, expired, warning, left := c.lease.Held(), c.lease.Expired(now), c.lease.Warning(now), c.lease.Left(now)
			if held != c.held || expired != c.expired || warning != c.warning || left != c.left {
				t.Fatalf("held %v, expired %v, warning %v, left %v; want %v, %v, %v, %v",
					held, expired, warning, left, c.held, c.expired, c.warning, c.left)
			}
		})
	}
}

// TestLeaseZones checks that only the moment counts, not how it is written.
func TestLeaseZones(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	lease := fleet.Lease{Start: start, End: start.Add(time.Hour)}
	for hours := -12; hours <= 14; hours++ {
		zone := time.FixedZone("", hours*3600)
		if lease.Expired(start.Add(59*time.Minute).In(zone)) || !lease.Expired(start.Add(time.Hour).In(zone)) {
			t.Errorf("UTC%+d: the end is elsewhere", hours)
		}
	}
}

func TestBlueprint(t *testing.T) {
	b := fleet.Blueprint{
		Ref:         fleet.BlueprintRef{Name: "build", Version: "1.2.0", Digest: "sha256:00"},
		Users:       []string{"dev"},
		Sizes:       []fleet.Size{{Name: "small", CPUs: 1}, {Name: "large", CPUs: 4}},
		DefaultSize: "large",
	}
	if got := b.Ref.String(); got != "build@1.2.0" {
		t.Errorf("the reference is written %q", got)
	}
	for name, want := range map[string]float64{"": 4, "small": 1, "large": 4} {
		if size, ok := b.SizeNamed(name); !ok || size.CPUs != want {
			t.Errorf("size %q: %+v, %v", name, size, ok)
		}
	}
	for _, name := range []string{"medium", "Small", "small "} {
		if size, ok := b.SizeNamed(name); ok || size != (fleet.Size{}) {
			t.Errorf("size %q: %+v, %v; want none", name, size, ok)
		}
	}
	if b.Root() {
		t.Error("root may be used, but is not among the users")
	}
	b.Users = append(b.Users, "root")
	if !b.Root() {
		t.Error("root may not be used, but is among the users")
	}
	if (fleet.Input{Default: false}).Required() || !(fleet.Input{}).Required() {
		t.Error("an input is required when it has no default, and false is one")
	}
}

// TestAwaited: of the states in which an environment cannot be used, those that pass by themselves.
func TestAwaited(t *testing.T) {
	for name, c := range map[string]struct {
		env    fleet.Environment
		passes bool
	}{
		"waiting":           {fleet.Environment{State: fleet.Pending, Tenant: "default"}, true},
		"being made":        {fleet.Environment{State: fleet.Provisioning, Tenant: "default"}, true},
		"being handed over": {fleet.Environment{State: fleet.Leased, Tenant: "default", Work: fleet.Work{Action: fleet.Personalise}}, true},
		"a pool's":          {fleet.Environment{State: fleet.Provisioning}, false},
		"warm":              {fleet.Environment{State: fleet.Warm}, false},
		"leased":            {fleet.Environment{State: fleet.Leased, Tenant: "default"}, false},
		"failed":            {fleet.Environment{State: fleet.Failed, Tenant: "default"}, false},
		"going":             {fleet.Environment{State: fleet.Destroying, Tenant: "default"}, false},
		"gone":              {fleet.Environment{State: fleet.Destroyed, Tenant: "default"}, false},
	} {
		if got := c.env.Awaited(); got != c.passes {
			t.Errorf("%s: awaited is %t, want %t", name, got, c.passes)
		}
	}
}
