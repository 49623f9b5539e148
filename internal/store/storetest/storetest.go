// Package storetest is the suite of behaviour that a store passes on every
// database it supports.
package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Open gives an empty store and closes it when the test ends.
type Open func(t *testing.T) *store.Store

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests func(t *testing.T, open Open)
	}{
		{"Installation", installation},
		{"Admit", admit},
		{"RoundTrip", roundTrip},
		{"Query", query},
		{"List", list},
		{"Change", change},
		{"Work", work},
		{"WorkModel", workModel},
		{"Claim", claim},
		{"Replace", replace},
		{"Pools", pools},
		{"Quotas", quotas},
		{"UsageModel", usageModel},
		{"Receipts", receipts},
		{"Orphans", orphans},
		{"Adopt", adopt},
		{"Cost", cost},
		{"Sums", sums},
		{"Prune", prune},
		{"Committed", committed},
		{"Hosts", hostGroup},
		{"Lead", leadGroup},
		{"Settings", settings},
		{"SettingOnce", settingOnce},
		{"States", states},
		{"Objects", objects},
		{"Events", events},
		{"EventData", eventData},
		{"Log", logs},
	} {
		t.Run(group.name, func(t *testing.T) { group.tests(t, open) })
	}
}

// tb is a test or one case of a property.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Context() context.Context
}

// base is when everything in the suite begins: a moment with microseconds.
var base = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// host is where environments stand, and hosts all that there are of them.
const host = "local"

var hosts = []string{host}

// environment gives the n-th distinct pending environment, n seconds younger than the first.
func environment(n int) fleet.Environment {
	created := base.Add(time.Duration(n) * time.Second)
	return fleet.Environment{
		ID:        fmt.Sprintf("id%06d", n),
		Name:      fmt.Sprintf("env-%d", n),
		Tenant:    "acme",
		Team:      "core",
		Owner:     "ada",
		Project:   "hello",
		Blueprint: fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:" + fmt.Sprintf("%064x", n)},
		Size:      fleet.Size{Name: "small", CPUs: 1.5, MemoryMiB: 1024, Pids: 512, RateMicros: 10_000, Currency: "USD"},
		Image:     "sha256:feed",
		Users:     []string{"dev", "root"},
		Workspace: "/workspace",
		Inputs:    map[string]any{"shm_mib": int64(64), "ratio": 2.0, "quick": true, "flavour": "plain"},
		Host:      host,
		State:     fleet.Pending,
		Reason:    "waiting for a worker",
		Lease:     fleet.Lease{TTL: time.Hour, MaxTTL: 8 * time.Hour},
		CreatedAt: created,
		UpdatedAt: created,
		HeldAt:    created,
	}
}

// requested is the event of an admission.
func requested(env fleet.Environment) fleet.Event {
	return fleet.Event{At: env.CreatedAt, Kind: "environment.requested", Message: "requested", Actor: env.Owner}
}

// mustAdmit admits a new environment.
func mustAdmit(t tb, s *store.Store, env fleet.Environment) fleet.Environment {
	t.Helper()
	got, err := s.Admit(t.Context(), store.Admission{
		Env: env, RequestHash: "hash", Event: requested(env), HeldMicros: env.HeldMicros, HeldFor: env.HeldFor,
	})
	if err != nil || got.Existed {
		t.Fatalf("admit %s: existed %v, error %v", env.ID, got.Existed, err)
	}
	return got.Env
}

// mustChange changes an environment under any revision.
func mustChange(t tb, s *store.Store, id string, change func(*fleet.Environment)) fleet.Environment {
	t.Helper()
	env, err := s.Change(t.Context(), id, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		change(e)
		return store.Writes{}, nil
	})
	if err != nil {
		t.Fatalf("change %s: %v", id, err)
	}
	return env
}

// mustGet reads an environment.
func mustGet(t tb, s *store.Store, id string) fleet.Environment {
	t.Helper()
	env, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("get %s: %v", id, err)
	}
	return env
}

// paths lead from pending to each state by legal moves.
var paths = map[fleet.State][]fleet.State{
	fleet.Pending:      {},
	fleet.Provisioning: {fleet.Provisioning},
	fleet.Warm:         {fleet.Provisioning, fleet.Warm},
	fleet.Leased:       {fleet.Provisioning, fleet.Leased},
	fleet.Failed:       {fleet.Provisioning, fleet.Failed},
	fleet.Destroying:   {fleet.Destroying},
	fleet.Destroyed:    {fleet.Destroying, fleet.Destroyed},
}

// admitIn admits the n-th environment and leads it to a state.
func admitIn(t tb, s *store.Store, n int, state fleet.State) fleet.Environment {
	t.Helper()
	env := mustAdmit(t, s, environment(n))
	for _, next := range paths[state] {
		env = mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State = next })
	}
	return env
}

// wantCode checks an error's code.
func wantCode(t tb, err error, want fleet.Code) {
	t.Helper()
	if got := fleet.CodeOf(err); got != want {
		t.Fatalf("got error %v with code %q, want code %q", err, got, want)
	}
}

// same compares what was kept with what is wanted; nil and empty are the same.
func same(t tb, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("not what is wanted (-want +got):\n%s", diff)
	}
}

// ids gives the ids of environments, in order.
func ids(envs []fleet.Environment) []string {
	var all []string
	for _, env := range envs {
		all = append(all, env.ID)
	}
	return all
}

func installation(t *testing.T, open Open) {
	s := open(t)
	first, err := s.Instance(t.Context(), "one")
	if err != nil || first != "one" {
		t.Fatalf("first call: %q, %v", first, err)
	}
	again, err := s.Instance(t.Context(), "two")
	if err != nil || again != "one" {
		t.Fatalf("second call: %q, %v; want the first candidate", again, err)
	}
	if _, err := s.Instance(t.Context(), ""); err == nil {
		t.Fatal("an empty candidate was taken")
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("ping: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ping(cancelled); err == nil {
		t.Fatal("ping with an ended context gave no error")
	}
}
