package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// EventFilter is what the routes of the record have in common. It is exported because huma reads exported fields only.
type EventFilter struct {
	Environment string `query:"environment" maxLength:"200" doc:"Only this environment: a name, an id, id:ID or TENANT/NAME"`
	Pool        string `query:"pool" maxLength:"100" doc:"Only this pool"`
	Host        string `query:"host" maxLength:"100" doc:"Only this host"`
	After       int64  `query:"after" minimum:"0" doc:"Skip events up to this number"`
}

func (f EventFilter) query() service.EventQuery {
	return service.EventQuery{Environment: f.Environment, Pool: f.Pool, Host: f.Host, After: f.After}
}

// eventRoutes read the record of every decision.
func (s *Server) eventRoutes(api huma.API) {
	get(s, api, toSee, huma.Operation{
		OperationID: "list-environment-events", Path: "/v1/environments/{env}/events", Tags: []string{"environments"},
		Summary: "List the events of an environment, oldest first", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct {
		EnvPath
		After  int64 `query:"after" minimum:"0" doc:"Skip events up to this number"`
		Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
		Newest bool  `query:"newest" doc:"If there are more than limit events, return the newest, oldest first"`
	}) (wire.EventList, error) {
		es, err := s.services.Records.Events(ctx, caller(ctx), service.EventQuery{Environment: in.Env, After: in.After, Limit: in.Limit, Newest: in.Newest})
		return wire.EventList{Events: events(es)}, err
	})

	get(s, api, member, huma.Operation{
		OperationID: "list-events", Path: "/v1/events", Tags: []string{"environments"},
		Summary: "List events, oldest first", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct {
		EventFilter
		Limit  int  `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
		Newest bool `query:"newest" doc:"If there are more than limit events, return the newest, oldest first"`
	}) (wire.EventList, error) {
		q := in.query()
		q.Limit, q.Newest = in.Limit, in.Newest
		es, err := s.services.Records.Events(ctx, caller(ctx), q)
		return wire.EventList{Events: events(es)}, err
	})

	register(s, api, member, huma.Operation{
		OperationID: "follow-events", Method: http.MethodGet, Path: "/v1/events/follow", Tags: []string{"environments"},
		Summary:     "Follow events",
		Description: "One Event per line, oldest first: existing events, then new ones. Empty lines are heartbeats.",
		Responses:   content("Events, one per line", ndjson, schemaOf[wire.Event](api)),
		Errors:      errorStatuses(http.StatusNotFound, http.StatusTooManyRequests),
	}, func(_ context.Context, in *EventFilter) (*huma.StreamResponse, error) {
		return s.stream(func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
			return s.followEvents(ctx, w, in.query())
		}), nil
	})
}

func (s *Server) followEvents(ctx context.Context, w http.ResponseWriter, q service.EventQuery) error {
	if q.Environment != "" {
		// The head goes out as soon as the environment is known to exist, since it may be quiet for long.
		if _, err := s.services.Environments.Find(ctx, caller(ctx), q.Environment); err != nil {
			return err
		}
	}
	ctx, out := s.newLines(ctx, w)
	defer out.close()
	if err := out.begin(); err != nil {
		return out.end(ctx, s, err)
	}
	return out.end(ctx, s, s.services.Records.WatchEvents(ctx, caller(ctx), q, func(es []fleet.Event) error {
		for _, e := range es {
			if err := out.write(event(e)); err != nil {
				return err
			}
		}
		return nil
	}))
}
