package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// PoolPath is the part of every route of one pool. It is exported because huma reads exported fields only.
type PoolPath struct {
	Pool string `path:"pool" minLength:"1" maxLength:"100" example:"builders" doc:"Name of the pool"`
}

// poolRoutes are about the warm environments that are kept.
func (s *Server) poolRoutes(api huma.API) {
	op := func(id, method, path, summary string, errors ...int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"platform"}, Summary: summary, Errors: errorStatuses(errors...)}
	}
	get(s, api, member, op("list-pools", "", "/v1/pools", "List pools"),
		func(ctx context.Context, _ *struct{}) (wire.PoolList, error) {
			all, err := s.services.Pools.All(ctx, caller(ctx))
			return wire.PoolList{Pools: each(all, pool)}, err
		})

	const one = "/v1/pools/{pool}"
	get(s, api, member, op("get-pool", "", one, "Show a pool", http.StatusNotFound),
		func(ctx context.Context, in *struct{ PoolPath }) (wire.Pool, error) {
			p, err := s.services.Pools.One(ctx, caller(ctx), in.Pool)
			return pool(p), err
		})

	set := op("set-pool", http.MethodPut, one, "Create or update a pool", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	set.Description = "If several pools match a request, the first by name with a warm environment serves it."
	act(s, api, platformTo("set pools"), set, func(ctx context.Context, in *struct {
		PoolPath
		Body wire.PoolRequest
	}) (wire.Pool, error) {
		if in.Body.Zone != "" && len(in.Body.Schedule) == 0 {
			return wire.Pool{}, problem(fleet.CodeInvalid, "add a schedule, or omit the zone", "pool %s has a time zone and no schedule", in.Pool)
		}
		p, err := s.services.Pools.Set(ctx, caller(ctx), poolRequest(in.Pool, in.Body))
		return pool(p), err
	})

	resume := op("resume-pool", http.MethodPost, one+"/resume", "Resume a paused pool", http.StatusNotFound)
	resume.Description = "bothy pauses a pool whose members keep failing."
	act(s, api, platformTo("resume pools"), resume, func(ctx context.Context, in *struct{ PoolPath }) (wire.Pool, error) {
		p, err := s.services.Pools.Resume(ctx, caller(ctx), in.Pool)
		return pool(p), err
	})

	remove := op("remove-pool", http.MethodDelete, one, "Delete a pool", http.StatusNotFound, http.StatusConflict)
	remove.Description = "Deletes its warm members. Claimed environments continue to run."
	remove.DefaultStatus = http.StatusNoContent
	register(s, api, platformTo("remove pools"), remove, func(ctx context.Context, in *struct{ PoolPath }) (*struct{}, error) {
		ctx, cancel := s.bounded(ctx)
		defer cancel()
		return nil, s.services.Pools.Remove(ctx, caller(ctx), in.Pool)
	})
}

func poolRequest(name string, r wire.PoolRequest) fleet.Pool {
	p := fleet.Pool{
		Name: name, Blueprint: r.Blueprint, Size: r.Size, Inputs: r.Inputs,
		Target: int(r.Target), Min: int(r.Min), Surge: int(r.Surge), Pause: r.Pause,
	}
	for _, t := range r.Schedule {
		p.Schedule = append(p.Schedule, fleet.ScheduledTarget{Days: weekdays(t.Days), From: minutes(t.From), Until: minutes(t.Until), Target: int(t.Target)})
	}
	p.SetZone(r.Zone)
	p.Max = p.DefaultMax()
	if r.Max != nil {
		p.Max = int(*r.Max)
	}
	return p
}

func pool(p service.PoolStatus) wire.Pool {
	return wire.Pool{
		Name: p.Name, Blueprint: p.Blueprint, Size: p.Size, Inputs: p.Inputs,
		Target: int64(p.Target), Schedule: schedule(p.Schedule), Zone: p.Zone(), Min: int64(p.Min), Max: int64(p.Max), Surge: int64(p.Surge), Pause: p.Pause,
		Held: p.Held, HeldAt: when(p.HeldAt), Failures: p.Failures, Broken: p.Broken, Stuck: p.Stuck, StuckHint: p.StuckHint, FromFile: p.FromFile,
		Digest: p.Digest, TargetNow: p.TargetNow, Warm: p.Warm, Stale: p.Stale, Making: p.Making, Leased: p.Leased,
		UpdatedAt: p.UpdatedAt.UTC(), UpdatedBy: p.UpdatedBy,
	}
}

// dayNames are the days as the wire has them, Sunday first as package time has it.
var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func weekdays(names []string) []time.Weekday {
	var days []time.Weekday
	for _, n := range names {
		days = append(days, time.Weekday(slices.Index(dayNames, n))) // The route takes no other names.
	}
	return days
}

// minutes reads a time of day, whose form the route has checked.
func minutes(clock string) int {
	h, m, _ := strings.Cut(clock, ":")
	hours, _ := strconv.Atoi(h)
	rest, _ := strconv.Atoi(m)
	return hours*60 + rest
}

// schedule is nil when there is none, so that JSON leaves it out.
func schedule(in []fleet.ScheduledTarget) []wire.ScheduledTarget {
	var out []wire.ScheduledTarget
	for _, t := range in {
		w := wire.ScheduledTarget{From: clock(t.From), Until: clock(t.Until), Target: int64(t.Target)}
		for _, d := range t.Days {
			w.Days = append(w.Days, dayNames[d])
		}
		out = append(out, w)
	}
	return out
}

func clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }
