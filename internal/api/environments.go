package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/fleet"
)

// envAnswer is an environment with a status of its own.
type envAnswer struct {
	Status int
	Body   wire.Environment
}

type createInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a retry give the same environment" example:"5f0c7b9e"`
	Body wire.CreateRequest
}

type listInput struct {
	All       bool     `query:"all" doc:"Those that are gone, too"`
	State     []string `query:"state,explode" enum:"pending,provisioning,warm,leased,failed,destroying,destroyed" doc:"Only these states; may be repeated"`
	Owner     string   `query:"owner" doc:"Only this user's"`
	Project   string   `query:"project" doc:"Only this project's"`
	Blueprint string   `query:"blueprint" doc:"Only this blueprint's"`
	Limit     int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most environments in one page"`
	Cursor    string   `query:"cursor" maxLength:"500" doc:"The next of the page before"`
}

func (in *listInput) filter() engine.Filter {
	f := engine.Filter{IncludeGone: in.All, Owner: in.Owner, Project: in.Project, Blueprint: in.Blueprint, Limit: in.Limit, Cursor: in.Cursor}
	for _, st := range in.State {
		f.States = append(f.States, fleet.State(st))
	}
	return f
}

func (s *Server) environmentRoutes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "create-environment", Method: http.MethodPost, Path: "/v1/environments", Tags: []string{"environments"},
		Summary:     "Ask for an environment",
		Description: "Answers as soon as the request is recorded; watch it to see it become ready. 200 instead of 201 when the Idempotency-Key was seen before.",
		Errors:      errorStatuses(http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests),
		Responses: map[string]*huma.Response{
			"200": {Description: "It existed already", Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[wire.Environment](api)}}},
		},
		DefaultStatus: http.StatusCreated,
		MaxBodyBytes:  maxBody, BodyReadTimeout: s.cfg.HeaderTimeout,
	}, s.create)

	get(s, api, huma.Operation{
		OperationID: "list-environments", Path: "/v1/environments", Tags: []string{"environments"},
		Summary: "List environments, newest first", Errors: errorStatuses(),
	}, func(ctx context.Context, in *listInput) (wire.EnvironmentList, error) {
		envs, next, err := s.engine.List(ctx, in.filter())
		now := s.engine.Now()
		return wire.EnvironmentList{
			Environments: each(envs, func(e fleet.Environment) wire.Environment { return environment(e, now) }),
			Next:         next,
		}, err
	})

	get(s, api, huma.Operation{
		OperationID: "get-environment", Path: "/v1/environments/{env}", Tags: []string{"environments"},
		Summary: "Show an environment", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct{ EnvPath }) (wire.Environment, error) {
		env, err := s.engine.Find(ctx, in.Env)
		return environment(env, s.engine.Now()), err
	})

	get(s, api, huma.Operation{
		OperationID: "list-events", Path: "/v1/environments/{env}/events", Tags: []string{"environments"},
		Summary: "Read an environment's record, oldest first", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct {
		EnvPath
		After int64 `query:"after" minimum:"0" doc:"Leave out events up to this number"`
		Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
	}) (wire.EventList, error) {
		es, err := s.engine.Events(ctx, in.Env, in.After, in.Limit)
		return wire.EventList{Events: events(es)}, err
	})

	huma.Register(api, huma.Operation{
		OperationID: "extend-environment", Method: http.MethodPost, Path: "/v1/environments/{env}/extend", Tags: []string{"environments"},
		Summary: "Move the end of a lease", Description: "Never beyond the blueprint's longest lifetime.",
		Errors:       errorStatuses(http.StatusBadRequest, http.StatusNotFound, http.StatusConflict),
		MaxBodyBytes: maxBody, BodyReadTimeout: s.cfg.HeaderTimeout,
	}, func(ctx context.Context, in *struct {
		EnvPath
		Body wire.ExtendRequest
	}) (*answer[wire.Environment], error) {
		ctx, cancel := s.bounded(ctx)
		defer cancel()
		env, err := s.engine.Extend(ctx, caller(ctx), in.Env, seconds(in.Body.BySeconds))
		if err != nil {
			return nil, err
		}
		return &answer[wire.Environment]{environment(env, s.engine.Now())}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "release-environment", Method: http.MethodDelete, Path: "/v1/environments/{env}", Tags: []string{"environments"},
		Summary:     "Give an environment back",
		Description: "Accepted in every state, as often as you like. Answers as soon as it is recorded; watch it to see it gone.",
		Errors:      errorStatuses(http.StatusNotFound), DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct{ EnvPath }) (*answer[wire.Environment], error) {
		ctx, cancel := s.bounded(ctx)
		defer cancel()
		env, err := s.engine.Release(ctx, caller(ctx), in.Env)
		if err != nil {
			return nil, err
		}
		return &answer[wire.Environment]{environment(env, s.engine.Now())}, nil
	})
}

func (s *Server) create(ctx context.Context, in *createInput) (*envAnswer, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	req := engine.Request{
		Owner: caller(ctx), Project: in.Body.Project, Blueprint: in.Body.Blueprint, Size: in.Body.Size,
		Name: in.Body.Name, Inputs: in.Body.Inputs, IdempotencyKey: in.Key,
	}
	if t := in.Body.TTLSeconds; t != nil {
		ttl := seconds(*t)
		req.TTL = &ttl
	}
	env, existed, err := s.engine.Acquire(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &envAnswer{http.StatusCreated, environment(env, s.engine.Now())}
	if existed {
		out.Status = http.StatusOK
	}
	return out, nil
}
