package api_test

import (
	"cmp"
	"context"
	"io"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
)

// double is a daemon in memory. What a test does not set answers plainly. Whose anything is it does not ask: the real one is
// asked that, by the matrix.
type double struct {
	mu   sync.Mutex
	envs map[string]fleet.Environment
	keys map[string]string
	// requests and actors are what came in.
	requests []service.Request
	filters  []service.Selection
	queries  []service.EventQuery
	actors   []string
	// calls are all, by name, with what was handed over beside the identity.
	calls map[string][]any

	fail     error // every call's error, when set
	find     func(ctx context.Context, name string) (fleet.Environment, error)
	watch    func(ctx context.Context, name string, after int64, update func(fleet.Environment, []fleet.Event) error) error
	logs     func(ctx context.Context, name string, since time.Time, follow bool, write func(fleet.LogLine) error) error
	exec     func(ctx context.Context, req provisioner.ExecRequest, streams provisioner.Streams) (int, error)
	ends     *fleet.ExecEnd // how each command ends, when set
	copyTo   func(ctx context.Context, dir, user string, tar io.Reader) error
	copyFrom func(ctx context.Context, path, user string) (io.ReadCloser, error)
	source   fleet.Source
	checks   []service.Check
	mayUse   func(who fleet.Identity) error
	events   []fleet.Event  // the record, when set
	quote    *service.Quote // what is quoted, when set
	// watchEvents, when set, follows the record in place of giving five events.
	watchEvents func(ctx context.Context) error
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newDouble() *double {
	return &double{envs: map[string]fleet.Environment{}, keys: map[string]string{}, calls: map[string][]any{}}
}

func leased(name string) fleet.Environment {
	return fleet.Environment{
		ID: "id-" + name, Name: name, Tenant: fleet.DefaultTenant, Team: fleet.DefaultTeam, Owner: "ada", Share: fleet.ShareTenant, State: fleet.Leased, Users: []string{"dev", "root"}, Workspace: "/workspace",
		Blueprint: fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:00"},
		Size:      fleet.Size{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicros: 3_600_000, Currency: "USD"},
		Inputs:    map[string]any{"shm_mib": int64(64)},
		Lease:     fleet.Lease{TTL: time.Hour, MaxTTL: 8 * time.Hour, Start: noon.Add(-30 * time.Minute), End: noon.Add(30 * time.Minute)},
		CreatedAt: noon.Add(-31 * time.Minute), ReadyAt: noon.Add(-30 * time.Minute), BilledFrom: noon.Add(-30 * time.Minute), Revision: 4,
	}
}

func (d *double) add(envs ...fleet.Environment) *double {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range envs {
		d.envs[e.Name] = e
	}
	return d
}

func (d *double) Acquire(_ context.Context, req service.Request) (service.Acquired, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests = append(d.requests, req)
	if d.fail != nil {
		return service.Acquired{}, d.fail
	}
	if name, ok := d.keys[req.IdempotencyKey]; ok && req.IdempotencyKey != "" {
		return service.Acquired{Env: d.envs[name], Existed: true}, nil
	}
	env := leased(req.Name)
	env.State, env.Lease.Start, env.Lease.End = fleet.Pending, time.Time{}, time.Time{}
	env.Tenant, env.Team, env.Owner = req.Who.Tenant, req.Who.Team, req.Who.User
	d.envs[env.Name], d.keys[req.IdempotencyKey] = env, env.Name
	return service.Acquired{Env: env}, nil
}

func (d *double) Find(ctx context.Context, _ fleet.Identity, name string) (fleet.Environment, error) {
	if d.find != nil {
		return d.find(ctx, name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return fleet.Environment{}, d.fail
	}
	ref := fleet.ParseReference(name)
	for _, env := range d.envs {
		if env.ID == cmp.Or(ref.ID, ref.Word) || (ref.ID == "" && env.Name == ref.Word) {
			return env, nil
		}
	}
	return fleet.Environment{}, fleet.Errorf(fleet.CodeNotFound, "no environment %q", name).WithHint("see: bothy ls")
}

func (d *double) List(_ context.Context, _ fleet.Identity, f service.Selection) ([]fleet.Environment, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.filters = append(d.filters, f)
	var all []fleet.Environment
	for _, e := range d.envs {
		all = append(all, e)
	}
	// Pages of one, by the name that the cursor holds.
	var page *fleet.Environment
	for _, e := range all {
		if e.Name > f.Cursor && (page == nil || e.Name < page.Name) {
			page = &e
		}
	}
	if page == nil {
		return nil, "", d.fail
	}
	next := page.Name
	if len(all) == 1 {
		next = ""
	}
	return []fleet.Environment{*page}, next, d.fail
}

func (d *double) act(who fleet.Identity, name string, change func(*fleet.Environment)) (fleet.Environment, error) {
	env, err := d.Find(context.Background(), who, name)
	if err != nil {
		return env, err
	}
	change(&env)
	d.mu.Lock()
	d.actors = append(d.actors, who.User)
	d.mu.Unlock()
	d.add(env)
	return env, nil
}

func (d *double) Extend(_ context.Context, who fleet.Identity, name string, by time.Duration) (fleet.Environment, error) {
	return d.act(who, name, func(e *fleet.Environment) { e.Lease.End = e.Lease.End.Add(by) })
}

func (d *double) Release(_ context.Context, who fleet.Identity, name string) (fleet.Environment, error) {
	return d.act(who, name, func(e *fleet.Environment) { e.State = fleet.Destroying })
}

func (d *double) Touch(_ context.Context, who fleet.Identity, name string) (fleet.Environment, error) {
	return d.act(who, name, func(e *fleet.Environment) { e.Lease.ActiveAt = noon })
}

func (d *double) Events(ctx context.Context, who fleet.Identity, q service.EventQuery) ([]fleet.Event, error) {
	d.mu.Lock()
	d.queries = append(d.queries, q)
	d.mu.Unlock()
	if q.Environment != "" {
		if _, err := d.Find(ctx, who, q.Environment); err != nil {
			return nil, err
		}
	}
	if d.events != nil {
		return d.events, d.fail
	}
	var out []fleet.Event
	for seq := q.After + 1; seq <= 5 && len(out) < q.Limit; seq++ {
		out = append(out, fleet.Event{Seq: seq, At: noon, EnvironmentID: "id-" + q.Environment, Kind: "environment.requested", Message: "asked for", Actor: "ada"})
	}
	return out, d.fail
}

func (d *double) Watch(ctx context.Context, who fleet.Identity, name string, after int64, update func(fleet.Environment, []fleet.Event) error) error {
	if d.watch != nil {
		return d.watch(ctx, name, after, update)
	}
	env, err := d.Find(ctx, who, name)
	if err != nil {
		return err
	}
	return update(env, nil)
}

// MayUse notes that it was asked; mayUse answers, when set.
func (d *double) MayUse(ctx context.Context, who fleet.Identity, name string) error {
	if d.mayUse != nil {
		return d.mayUse(who)
	}
	_, err := d.Find(ctx, who, name)
	return err
}

func (d *double) Share(_ context.Context, who fleet.Identity, name string, share fleet.Share) (fleet.Environment, error) {
	return d.act(who, name, func(e *fleet.Environment) { e.Share = share })
}

func (d *double) Logs(ctx context.Context, _ fleet.Identity, name string, since time.Time, follow bool, write func(fleet.LogLine) error) error {
	if d.logs != nil {
		return d.logs(ctx, name, since, follow, write)
	}
	return nil
}

func (d *double) Exec(ctx context.Context, who fleet.Identity, _ string, req provisioner.ExecRequest, streams provisioner.Streams) (fleet.ExecEnd, error) {
	d.mu.Lock()
	d.actors = append(d.actors, who.User)
	d.mu.Unlock()
	if d.fail != nil {
		return fleet.ExecEnd{}, d.fail
	}
	if d.ends != nil {
		return *d.ends, nil
	}
	code, err := d.exec(ctx, req, streams)
	return fleet.ExecEnd{Code: code}, err
}

func (d *double) CopyTo(ctx context.Context, _ fleet.Identity, _, dir, user string, tar io.Reader) error {
	if d.fail != nil {
		return d.fail
	}
	return d.copyTo(ctx, dir, user, tar)
}

func (d *double) Source(context.Context, fleet.Environment) (fleet.Source, error) {
	return d.source, d.fail
}

func (d *double) CopyFrom(ctx context.Context, _ fleet.Identity, _, path, user string) (io.ReadCloser, error) {
	if d.fail != nil {
		return nil, d.fail
	}
	return d.copyFrom(ctx, path, user)
}

func (d *double) blueprints() []fleet.Blueprint {
	lo, hi := 16.0, 1024.0
	return []fleet.Blueprint{{
		Ref: fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:00"}, Description: "Builds things.", Image: "bothy/build",
		Users: []string{"dev"}, Workspace: "/workspace", DefaultTTL: time.Hour, MaxTTL: 8 * time.Hour, DefaultSize: "small",
		Sizes:  []fleet.Size{{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicros: 10_000, Currency: "USD"}},
		Inputs: []fleet.Input{{Name: "shm_mib", Type: "integer", Default: int64(64), Min: &lo, Max: &hi}},
	}}
}

func (d doubleBlueprints) List() []fleet.Blueprint { return d.blueprints() }

func (d doubleBlueprints) Get(name string) (fleet.Blueprint, error) {
	if all := d.blueprints(); name == all[0].Ref.Name || name == all[0].Ref.String() {
		return all[0], nil
	}
	return fleet.Blueprint{}, fleet.Errorf(fleet.CodeNotFound, "no blueprint %q", name)
}

func (d doubleHosts) Elsewhere(_ context.Context, host string) string {
	if host != "r2" {
		return ""
	}
	return "https://r2.example:8443"
}

func (d *double) Checks(context.Context) []service.Check { return d.checks }

// The parts of the double whose methods have names that others have, too.
type (
	doubleBlueprints struct{ *double }
	doublePools      struct{ *double }
	doubleQuotas     struct{ *double }
	doubleCosts      struct{ *double }
	doubleOrphans    struct{ *double }
	doubleHosts      struct{ *double }
	doubleBrake      struct{ *double }
)

// services are the double as the routes call it.
func (d *double) services() api.Services {
	return api.Services{
		Requests: d, Environments: d, Sandboxes: d, Records: d, Doctor: d,
		Blueprints: doubleBlueprints{d}, Pools: doublePools{d}, Quotas: doubleQuotas{d}, Costs: doubleCosts{d}, Orphans: doubleOrphans{d},
		Hosts: doubleHosts{d}, Brake: doubleBrake{d},
		Instance: "inst1", Now: func() time.Time { return noon },
	}
}
