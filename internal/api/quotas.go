package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// ScopePath is the part of every route of one quota. It is exported because huma reads exported fields only.
type ScopePath struct {
	Scope string `path:"scope" minLength:"1" maxLength:"250" example:"acme%2Fteam%2Fcore" doc:"TENANT, TENANT/team/NAME or TENANT/user/NAME, the slashes escaped"`
}

func (p ScopePath) scope() (fleet.Scope, error) {
	parts := strings.Split(p.Scope, "/")
	switch {
	case len(parts) == 1:
		return fleet.Scope{Kind: fleet.ScopeTenant, Tenant: parts[0]}, nil
	case len(parts) == 3 && (parts[1] == fleet.ScopeTeam || parts[1] == fleet.ScopeUser) && parts[0] != "" && parts[2] != "":
		return fleet.Scope{Kind: parts[1], Tenant: parts[0], Name: parts[2]}, nil
	}
	return fleet.Scope{}, fleet.Errorf(fleet.CodeInvalid, "invalid scope %q", p.Scope).
		WithHint("use TENANT, TENANT/team/NAME or TENANT/user/NAME")
}

// quotaRoutes are about limits and what is used of them.
func (s *Server) quotaRoutes(api huma.API) {
	get(s, api, member, huma.Operation{
		OperationID: "list-quotas", Path: "/v1/quotas", Tags: []string{"platform"},
		Summary: "List quotas and their usage", Errors: errorStatuses(),
	}, func(ctx context.Context, _ *struct{}) (wire.QuotaList, error) {
		all, err := s.services.Quotas.List(ctx, caller(ctx))
		return wire.QuotaList{Quotas: each(all, quota)}, err
	})

	const one = "/v1/quotas/{scope}"
	get(s, api, toSee, huma.Operation{
		OperationID: "get-quota", Path: one, Tags: []string{"platform"},
		Summary: "Show limits and usage of a scope", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct{ ScopePath }) (wire.Quota, error) {
		scope, err := in.scope()
		if err != nil {
			return wire.Quota{}, err
		}
		q, err := s.services.Quotas.Get(ctx, caller(ctx), scope)
		return quota(q), err
	})

	act(s, api, platformTo("set quotas"), huma.Operation{
		OperationID: "set-quota", Method: http.MethodPut, Path: one, Tags: []string{"platform"},
		Summary:     "Set the limits of a scope",
		Description: "Replaces all limits of the scope. Empty limits delete the quota. A limit below current usage deletes nothing; it blocks new requests.",
		Errors:      errorStatuses(http.StatusBadRequest, http.StatusNotFound),
	}, func(ctx context.Context, in *struct {
		ScopePath
		Body wire.Limits
	}) (wire.Quota, error) {
		scope, err := in.scope()
		if err != nil {
			return wire.Quota{}, err
		}
		q, err := s.services.Quotas.Set(ctx, caller(ctx), fleet.Quota{Scope: scope, Limits: limitsOf(in.Body)})
		return quota(q), err
	})
}

func limitsOf(l wire.Limits) fleet.Limits {
	return fleet.Limits{
		Environments: l.Environments, MilliCPUs: l.MilliCPUs, MemoryMiB: l.MemoryMiB, SecondsPerDay: l.SecondsPerDay,
		MicrosPerDay: l.MicrosPerDay, MicrosPerMonth: l.MicrosPerMonth, MaxTTL: span(l.MaxTTLSeconds),
		Blueprints: l.Blueprints, Sizes: l.Sizes,
	}
}

func quota(q fleet.ScopeUsage) wire.Quota {
	l, u := q.Limits, q.Usage
	w := wire.Quota{
		Scope: q.Scope.String(),
		Limits: wire.Limits{
			Environments: l.Environments, MilliCPUs: l.MilliCPUs, MemoryMiB: l.MemoryMiB, SecondsPerDay: l.SecondsPerDay,
			MicrosPerDay: l.MicrosPerDay, MicrosPerMonth: l.MicrosPerMonth, Blueprints: l.Blueprints, Sizes: l.Sizes,
		},
		Usage: wire.Usage{
			Environments: u.Environments, MilliCPUs: u.MilliCPUs, MemoryMiB: u.MemoryMiB,
			SecondsToday: u.SecondsToday, MicrosToday: u.MicrosToday, MicrosThisMonth: u.MicrosThisMonth,
		},
	}
	if l.MaxTTL != nil {
		w.Limits.MaxTTLSeconds = new(int64(*l.MaxTTL / time.Second))
	}
	return w
}
