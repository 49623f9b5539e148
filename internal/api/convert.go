package api

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/service"
)

// environment is an environment as the wire has it, at a moment. Who may not use it sees that it is there, how it is and what
// it costs; what went into it is for those who may.
func environment(who fleet.Identity, e fleet.Environment, now time.Time) wire.Environment {
	w := wire.Environment{
		ID: e.ID, Name: e.Name, Tenant: e.Tenant, Team: e.Team, Owner: e.Owner, Share: string(e.Share), MayUse: who.Uses(&e) || who.Overrides(), Project: e.Project, PullRequest: e.PullRequest,
		Pool: e.Pool, Claimed: e.Pool != "" && e.Tenant != "", Cold: e.Cold, Queue: queue(e), Host: e.Host,
		Blueprint: blueprintRef(e.Blueprint),
		Size:      size(e.Size), Inputs: e.Inputs,
		Vars: e.Vars, Secrets: e.SecretNames, Paused: e.Paused,
		State: string(e.State), Reason: e.Reason,
		Users: list(e.Users), Workspace: e.Workspace,
		Lease: wire.Lease{
			TTLSeconds: int64(e.Lease.TTL / time.Second), MaxTTLSeconds: int64(e.Lease.MaxTTL / time.Second),
			Start: when(e.Lease.Start), End: when(e.Lease.End),
			LeftSeconds: int64(e.Lease.Left(now) / time.Second), Warning: e.Lease.Warning(now),
			IdleSeconds: int64(e.Lease.Idle / time.Second),
		},
		Cost: wire.Cost{
			Currency: e.Size.Currency, RateMicrosPerHour: e.Size.RateMicros,
			AccruedMicros: ledger.Accrued(e, now), AtExpiryMicros: ledger.AtExpiry(e, now), HeldMicros: e.HeldMicros,
		},
		CreatedAt: e.CreatedAt.UTC(), ReadyAt: when(e.ReadyAt), DestroyedAt: when(e.DestroyedAt),
		Attempts: service.FailedTries(e), Revision: e.Revision,
	}
	if !w.MayUse {
		w.Inputs, w.Vars, w.Secrets = nil, nil, nil
	}
	if e.Lease.Idle > 0 && e.State == fleet.Leased {
		w.Lease.IdleEnd = when(e.Lease.Ends())
	}
	if f := e.Failure; f != nil {
		w.Failure = &wire.Failure{Code: string(f.Code), Sentence: f.Sentence, Hint: f.Hint, At: f.At.UTC()}
	}
	switch e.State {
	case fleet.Destroyed:
		// A lease that is over has nothing left and nothing to warn of.
		w.Lease.LeftSeconds, w.Lease.Warning = 0, false
		w.Cost.AtExpiryMicros = w.Cost.AccruedMicros
		// The row keeps the number; what it held counts no more once it is proven gone.
		w.Cost.HeldMicros = 0
	case fleet.Failed, fleet.Destroying:
		w.Lease.Warning = false
		w.Cost.AtExpiryMicros = w.Cost.AccruedMicros
	}
	return w
}

// one is an answer about a single environment: it also says which daemon to ask for what this one cannot do.
func (s *Server) one(ctx context.Context, e fleet.Environment) wire.Environment {
	w := environment(caller(ctx), e, s.services.Now())
	if e.State == fleet.Leased {
		w.DaemonAddress = s.services.Hosts.Elsewhere(ctx, e.Host)
	}
	return w
}

// withSource adds what was copied to an environment's workspace.
func (s *Server) withSource(ctx context.Context, e fleet.Environment, w wire.Environment) (wire.Environment, error) {
	source, err := s.services.Sandboxes.Source(ctx, e)
	if err != nil || source.State == fleet.SourceUnknown {
		return w, err
	}
	w.Source = &wire.Source{State: string(source.State), By: source.By, At: when(source.At)}
	return w, nil
}

// queue is where a request waits, nil when it does not.
func queue(e fleet.Environment) *wire.Queue {
	if e.State != fleet.Pending || e.Queue.Rank == 0 {
		return nil
	}
	return &wire.Queue{Rank: e.Queue.Rank, Estimate: when(e.Queue.Estimate), Until: when(e.Queue.Until)}
}

func size(s fleet.Size) wire.Size {
	return wire.Size{Name: s.Name, CPUs: s.CPUs, MemoryMiB: s.MemoryMiB, Pids: s.Pids, RateMicrosPerHour: s.RateMicros, Currency: s.Currency}
}

func blueprintRef(r fleet.BlueprintRef) wire.BlueprintRef {
	return wire.BlueprintRef{Name: r.Name, Version: r.Version, Digest: r.Digest}
}

func event(e fleet.Event) wire.Event {
	// The store keeps only what can be read here.
	data, _ := e.Data.Fields()
	return wire.Event{
		Seq: e.Seq, At: e.At.UTC(), Environment: e.EnvironmentID, Pool: e.Pool, Host: e.Host,
		Tenant: e.Tenant, Team: e.Team, User: e.User, Kind: e.Kind, Message: e.Message, Actor: e.Actor, Data: data,
	}
}

func events(es []fleet.Event) []wire.Event { return each(es, event) }

func logLine(l fleet.LogLine) wire.LogLine {
	return wire.LogLine{At: l.At.UTC(), Source: l.Source, Text: l.Text}
}

func blueprint(b fleet.Blueprint) wire.Blueprint {
	return wire.Blueprint{
		Name: b.Ref.Name, Version: b.Ref.Version, Digest: b.Ref.Digest,
		Description: b.Description, Image: b.Image, Users: list(b.Users), Workspace: b.Workspace,
		DefaultTTLSeconds: int64(b.DefaultTTL / time.Second), MaxTTLSeconds: int64(b.MaxTTL / time.Second),
		Sizes: each(b.Sizes, size), DefaultSize: b.DefaultSize, Inputs: each(b.Inputs, input), Trusted: b.Trusted,
	}
}

func input(i fleet.Input) wire.Input {
	return wire.Input{
		Name: i.Name, Type: i.Type, Description: i.Description, Default: i.Default, Required: i.Required(),
		Enum: i.Enum, Pattern: i.Pattern, Min: i.Min, Max: i.Max,
	}
}

// health is what is found of the daemon. Causes name files of the daemon's machine and what belongs to other tenants, so
// only the platform role sees them.
func (s *Server) health(ctx context.Context) wire.Health {
	checks := s.services.Doctor.Checks(ctx)
	if s.cert != nil {
		checks = append(slices.Clone(checks), checkCertificate(s.cert, realTime()))
	}
	h := health(checks)
	if caller(ctx).Platform() {
		return h
	}
	for i, c := range h.Checks {
		c.Message, c.Hint = "ok", ""
		switch c.Status {
		case service.OK:
		case service.Warning:
			c.Message, c.Hint = "needs attention", "the platform team can see the cause: bothy doctor"
		default:
			c.Message, c.Hint = "failed", "the platform team can see the cause: bothy doctor"
		}
		h.Checks[i] = c
	}
	return h
}

func health(checks []service.Check) wire.Health {
	h := wire.Health{Ready: true, Checks: each(checks, func(c service.Check) wire.Check {
		return wire.Check{Name: c.Name, Status: c.Status, Message: c.Message, Hint: c.Hint, AgeSeconds: int64(max(c.Age, 0) / time.Second)}
	})}
	for _, c := range h.Checks {
		if c.Status != service.OK && c.Status != service.Warning {
			h.Ready = false
		}
	}
	return h
}

// each converts a slice; the result is never nil, so that JSON has [] and not null.
func each[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = convert(v)
	}
	return out
}

func list(in []string) []string { return each(in, func(s string) string { return s }) }

// when is nil for a time that has not come yet.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// seconds makes a duration of whole seconds; what does not fit becomes the
// longest there is, so that the use case judges it and no overflow does.
func seconds(n int64) time.Duration {
	const most = int64(math.MaxInt64 / time.Second)
	return time.Duration(max(-most, min(most, n))) * time.Second
}
