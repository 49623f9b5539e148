package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// hostRoutes are the routes for hosts and the reap limiter.
func (s *Server) hostRoutes(api huma.API) {
	get(s, api, platformTo("see hosts"), huma.Operation{
		OperationID: "list-hosts", Path: "/v1/hosts", Tags: []string{"platform"},
		Summary: "List hosts with their usage", Errors: errorStatuses(),
	}, func(ctx context.Context, _ *struct{}) (wire.HostList, error) {
		all, err := s.services.Hosts.List(ctx, caller(ctx))
		return wire.HostList{Hosts: each(all, host)}, err
	})
	s.drainRoute(api, "drain", "Drain a host", true)
	s.drainRoute(api, "undrain", "Undo a drain", false)

	get(s, api, member, huma.Operation{
		OperationID: "get-brake", Path: "/v1/brake", Tags: []string{"platform"},
		Summary: "Show the state of the reap limiter", Errors: errorStatuses(),
	}, func(ctx context.Context, _ *struct{}) (wire.Brake, error) {
		b, err := s.services.Brake.State(ctx)
		return brake(b), err
	})
	act(s, api, platformTo("release the reap limiter"), huma.Operation{
		OperationID: "release-brake", Method: http.MethodPost, Path: "/v1/brake/release", Tags: []string{"platform"},
		Summary: "Delete all overdue environments now", Errors: errorStatuses(http.StatusConflict),
	}, func(ctx context.Context, _ *struct{}) (wire.Brake, error) {
		b, err := s.services.Brake.Release(ctx, caller(ctx))
		return brake(b), err
	})
}

func (s *Server) drainRoute(api huma.API, verb, summary string, drained bool) {
	act(s, api, platformTo("drain a host"), huma.Operation{
		OperationID: verb + "-host", Method: http.MethodPost, Path: "/v1/hosts/{host}/" + verb, Tags: []string{"platform"},
		Summary: summary, Description: "Existing environments stay.", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct {
		Host string `path:"host" minLength:"1" maxLength:"100" doc:"Name of the host" example:"local"`
	}) (wire.Host, error) {
		h, err := s.services.Hosts.Drain(ctx, caller(ctx), in.Host, drained)
		return host(h), err
	})
}

func host(h service.HostStatus) wire.Host {
	return wire.Host{
		Name: h.Name, Endpoint: h.Endpoint, Labels: h.Labels, Capacity: capacity(h.Capacity), Used: capacity(h.Used),
		Drained: h.Drained, Down: h.Down, Served: h.Served, Lost: h.Lost, Daemon: h.Worker, Address: h.Address, SeenAt: when(h.SeenAt), Environments: h.Environments,
	}
}

func capacity(c fleet.Capacity) wire.Capacity {
	return wire.Capacity{Environments: c.Environments, MilliCPUs: c.MilliCPUs, MemoryMiB: c.MemoryMiB}
}

func brake(b fleet.Brake) wire.Brake {
	return wire.Brake{On: b.On(), Since: when(b.Since), Reason: b.Reason, Live: b.Live, Reaped: b.Reaped}
}
