package api_test

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
)

// note notes a call, which somebody makes.
func (d *double) note(who fleet.Identity, name string, args ...any) error {
	if who.User == "" || who.Tenant == "" {
		return fleet.Errorf(fleet.CodeInternal, "%s: nobody asks", name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[name] = append(d.calls[name], args...)
	return d.fail
}

func (d *double) Quote(_ context.Context, req service.Request) (service.Quote, error) {
	d.mu.Lock()
	d.requests = append(d.requests, req)
	d.mu.Unlock()
	if d.quote != nil {
		return *d.quote, nil
	}
	return service.Quote{
		Blueprint: fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:00"}, Size: leased("x").Size, TTL: time.Hour, Micros: 3_600_000,
		Cold: "no pool keeps build@1.0.0 small", Rank: 2, ReadyAt: noon.Add(time.Minute),
		Refusal: fleet.Errorf(fleet.CodeQuota, "team core has 3 of 3 environments").WithHint("bothy down one"),
	}, d.note(req.Who, "Quote")
}

func (d *double) Usage(context.Context, fleet.Environment) provisioner.Usage {
	return provisioner.Usage{CPUs: 0.5, Memory: 200 << 20, Pids: 14, Disk: -1}
}

func (d *double) Why(ctx context.Context, who fleet.Identity, name string) (service.Why, error) {
	env, err := d.Find(ctx, who, name)
	return service.Why{
		Env: env, Cause: "it waits for capacity", Next: "bothy ls", Rank: 1, ReadyAt: noon.Add(time.Minute),
		Estimates: fleet.Estimate{Count: 3, Median: 2 * time.Second, P90: 5 * time.Second},
		Events:    []fleet.Event{{Seq: 1, At: noon, Kind: "environment.requested", Message: "asked for"}},
	}, err
}

func (d *double) WatchEvents(ctx context.Context, who fleet.Identity, q service.EventQuery, write func([]fleet.Event) error) error {
	if d.watchEvents != nil {
		return d.watchEvents(ctx)
	}
	q.Limit = 5
	es, err := d.Events(ctx, who, q)
	if err != nil {
		return err
	}
	return write(es)
}

func (d *double) pool(name string) service.PoolStatus {
	return service.PoolStatus{Pool: fleet.Pool{Name: name, Blueprint: "build", Target: 3, Max: 4, Schedule: []fleet.ScheduledTarget{
		{Days: []time.Weekday{time.Monday, time.Friday}, From: 8 * 60, Until: 24 * 60, Target: 5},
	}, UpdatedAt: noon}, Digest: "sha256:00", TargetNow: 5, Warm: 2, Stale: 1, Making: 1, Stuck: "no host has room", StuckHint: "make room"}
}

func (d doublePools) All(_ context.Context, who fleet.Identity) ([]service.PoolStatus, error) {
	return []service.PoolStatus{d.pool("builders")}, d.note(who, "Pools")
}

func (d doublePools) One(_ context.Context, who fleet.Identity, name string) (service.PoolStatus, error) {
	return d.pool(name), d.note(who, "Pool", name)
}

func (d doublePools) Set(_ context.Context, who fleet.Identity, p fleet.Pool) (service.PoolStatus, error) {
	return service.PoolStatus{Pool: p}, d.note(who, "SetPool", p)
}

func (d doublePools) Remove(_ context.Context, who fleet.Identity, name string) error {
	return d.note(who, "RemovePool", name)
}

func (d doublePools) Resume(_ context.Context, who fleet.Identity, name string) (service.PoolStatus, error) {
	return d.pool(name), d.note(who, "ResumePool", name)
}

func (d doubleQuotas) List(_ context.Context, who fleet.Identity) ([]fleet.ScopeUsage, error) {
	return []fleet.ScopeUsage{{Scope: fleet.Scope{Kind: fleet.ScopeTenant, Tenant: who.Tenant}}}, d.note(who, "Quotas")
}

func (d doubleQuotas) Get(_ context.Context, who fleet.Identity, scope fleet.Scope) (fleet.ScopeUsage, error) {
	ttl := 90 * time.Minute
	return fleet.ScopeUsage{
		Scope: scope, Limits: fleet.Limits{Environments: new(int64(3)), MaxTTL: &ttl, Sizes: []string{"small"}},
		Usage: fleet.Usage{Environments: 2, MilliCPUs: 2000, MemoryMiB: 2048, SecondsToday: 60, MicrosToday: 5, MicrosThisMonth: 6},
	}, d.note(who, "Quota", scope)
}

func (d doubleQuotas) Set(_ context.Context, who fleet.Identity, q fleet.Quota) (fleet.ScopeUsage, error) {
	return fleet.ScopeUsage{Scope: q.Scope, Limits: q.Limits}, d.note(who, "SetQuota", q)
}

func (d doubleCosts) Rates(_ context.Context, who fleet.Identity) ([]fleet.Rate, error) {
	return []fleet.Rate{{Blueprint: "build", Size: "small", From: noon, Micros: 10_000, Currency: "USD", SetBy: "ada"}}, d.note(who, "Rates")
}

func (d doubleCosts) SetRate(_ context.Context, who fleet.Identity, r fleet.Rate) (fleet.Rate, error) {
	return r, d.note(who, "SetRate", r)
}

func (d doubleCosts) Report(_ context.Context, who fleet.Identity, q service.CostQuery) (service.CostReport, error) {
	row := service.CostRow{Key: "ada", Currency: "USD", Leased: 1, Pool: 2, Provisioning: 3, Failed: 4, Destroying: 5, Total: 15, Seconds: 60}
	return service.CostReport{By: q.By, Since: q.Since, Until: q.Until, Rows: []service.CostRow{row}, Total: row}, d.note(who, "Cost", q)
}

func (d *double) Receipt(ctx context.Context, who fleet.Identity, name string) (fleet.Receipt, error) {
	env, err := d.Find(ctx, who, name)
	return d.receipt(7, env.ID), err
}

func (d *double) receipt(seq int64, id string) fleet.Receipt {
	return fleet.Receipt{Seq: seq, EnvironmentID: id, At: noon, Body: []byte(`{"a":1}`), PrevHash: "00", Hash: "11", Signature: "c2ln"}
}

func (d *double) Receipts(_ context.Context, who fleet.Identity, after int64, limit int) ([]fleet.Receipt, error) {
	return []fleet.Receipt{d.receipt(after+1, "e1"), d.receipt(after+2, "e2")}, d.note(who, "Receipts", after, limit)
}

func (d *double) ReceiptKey() []byte { return []byte("the public key") }

func (d *double) orphans() service.OrphanReport {
	return service.OrphanReport{Safe: true, Reason: "the database was restored", Orphans: []fleet.Orphan{
		{Host: "local", Kind: "container", ID: "c1", EnvironmentID: "e1", FirstSeen: noon, LastSeen: noon, Sightings: 2},
	}, Doubted: []service.Doubt{{Env: fleet.Environment{ID: "e9", Name: "hers", Owner: "ann", State: fleet.Leased}, Known: "it may have been extended"}}}
}

func (d doubleOrphans) List(_ context.Context, who fleet.Identity) (service.OrphanReport, error) {
	return d.orphans(), d.note(who, "Orphans")
}

func (d doubleOrphans) Adopt(_ context.Context, who fleet.Identity, ids []string) (service.OrphanReport, error) {
	return d.orphans(), d.note(who, "AdoptOrphans", ids)
}

func (d doubleOrphans) Purge(_ context.Context, who fleet.Identity, ids []string) (service.OrphanReport, error) {
	return d.orphans(), d.note(who, "PurgeOrphans", ids)
}

func (d doubleHosts) List(_ context.Context, who fleet.Identity) ([]service.HostStatus, error) {
	return []service.HostStatus{{Host: fleet.Host{Name: "local", SeenAt: noon}}}, d.note(who, "Hosts")
}

func (d doubleHosts) Drain(_ context.Context, who fleet.Identity, name string, drained bool) (service.HostStatus, error) {
	return service.HostStatus{Host: fleet.Host{Name: name, Drained: drained, Worker: "d1.p1"}, Used: fleet.Capacity{Environments: 2}}, d.note(who, "DrainHost", name, drained)
}

func (d doubleBrake) State(context.Context) (fleet.Brake, error) {
	return fleet.Brake{Since: noon, Reason: "the clock jumped", Live: 8, Reaped: 2}, nil
}

func (d doubleBrake) Release(_ context.Context, who fleet.Identity) (fleet.Brake, error) {
	return fleet.Brake{}, d.note(who, "ReleaseBrake")
}
