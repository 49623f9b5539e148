package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// envAnswer is an environment with a status of its own.
type envAnswer struct {
	Status int
	Body   wire.Environment
}

type createInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"Key that makes a retry return the same environment" example:"5f0c7b9e"`
	Body wire.CreateRequest
}

type listInput struct {
	All        bool     `query:"all" doc:"Include deleted environments"`
	State      []string `query:"state,explode" maxItems:"7" enum:"pending,provisioning,warm,leased,failed,destroying,destroyed" doc:"Only these states (repeatable)"`
	Tenant     string   `query:"tenant" maxLength:"100" doc:"Only this tenant; default: the caller's own"`
	AllTenants bool     `query:"all_tenants" doc:"Every tenant, and warm pool members; requires the platform role"`
	Mine       bool     `query:"mine" doc:"Only environments that the caller owns"`
	Team       string   `query:"team" maxLength:"100" doc:"Only this team"`
	Owner      string   `query:"owner" maxLength:"100" doc:"Only this owner"`
	Project    string   `query:"project" maxLength:"200" doc:"Only this project"`
	Blueprint  string   `query:"blueprint" maxLength:"100" doc:"Only this blueprint"`
	Pool       string   `query:"pool" maxLength:"100" doc:"Only environments created by this pool"`
	Host       string   `query:"host" maxLength:"100" doc:"Only this host"`
	Limit      int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Maximum number of environments per page"`
	Cursor     string   `query:"cursor" maxLength:"500" doc:"Value of next on the previous page"`
}

func (in *listInput) selection() service.Selection {
	f := service.Filter{
		IncludeGone: in.All, Tenant: in.Tenant, Team: in.Team, Owner: in.Owner, Project: in.Project, Blueprint: in.Blueprint,
		Pool: in.Pool, Host: in.Host, Limit: in.Limit, Cursor: in.Cursor,
	}
	for _, st := range in.State {
		f.States = append(f.States, fleet.State(st))
	}
	return service.Selection{Filter: f, AllTenants: in.AllTenants, Mine: in.Mine}
}

func (s *Server) environmentRoutes(api huma.API) {
	asking := errorStatuses(http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests)
	register(s, api, member, huma.Operation{
		OperationID: "create-environment", Method: http.MethodPost, Path: "/v1/environments", Tags: []string{"environments"},
		Summary: "Create an environment",
		Description: "Returns as soon as the request is recorded. Watch the environment to wait until it is ready. A warm environment is ready at once. " +
			"Returns 200 instead of 201 if the Idempotency-Key was used before.",
		Errors: asking,
		Responses: map[string]*huma.Response{
			"200": {Description: "The environment of this Idempotency-Key", Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[wire.Environment](api)}}},
		},
		DefaultStatus: http.StatusCreated,
		MaxBodyBytes:  maxBody, BodyReadTimeout: s.cfg.HeaderTimeout,
	}, s.create)

	act(s, api, member, huma.Operation{
		OperationID: "quote", Method: http.MethodPost, Path: "/v1/quote", Tags: []string{"environments"},
		Summary: "Quote a request: result and cost", Description: "Creates, reserves and records nothing.", Errors: asking,
	}, func(ctx context.Context, in *struct{ Body wire.CreateRequest }) (wire.Quote, error) {
		req, err := s.request(ctx, in.Body)
		if err != nil {
			return wire.Quote{}, err
		}
		q, err := s.services.Requests.Quote(ctx, req)
		return quote(q), err
	})

	get(s, api, member.butFor("all_tenants", "list the environments of all tenants"), huma.Operation{
		OperationID: "list-environments", Path: "/v1/environments", Tags: []string{"environments"},
		Summary: "List environments, newest first", Description: "Lists the caller's own tenant by default, for the platform role too. " +
			"Environments that the caller may not use have no inputs, variables and names of secrets.", Errors: errorStatuses(),
	}, func(ctx context.Context, in *listInput) (wire.EnvironmentList, error) {
		envs, next, err := s.services.Environments.List(ctx, caller(ctx), in.selection())
		now := s.services.Now()
		return wire.EnvironmentList{
			Environments: each(envs, func(e fleet.Environment) wire.Environment { return environment(caller(ctx), e, now) }),
			Next:         next,
		}, err
	})

	get(s, api, toSee, huma.Operation{
		OperationID: "get-environment", Path: "/v1/environments/{env}", Tags: []string{"environments"},
		Summary: "Show an environment", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct {
		EnvPath
		Usage bool `query:"usage" doc:"Include the current usage of a leased environment, which takes up to a second"`
	}) (wire.Environment, error) {
		env, err := s.services.Environments.Find(ctx, caller(ctx), in.Env)
		if err != nil {
			return wire.Environment{}, err
		}
		w := s.one(ctx, env)
		if in.Usage && w.MayUse && env.State == fleet.Leased {
			w.Usage = usage(s.services.Sandboxes.Usage(ctx, env), s.services.Now())
		}
		return s.withSource(ctx, env, w)
	})

	get(s, api, toSee, huma.Operation{
		OperationID: "explain-environment", Path: "/v1/environments/{env}/why", Tags: []string{"environments"},
		Summary: "Explain why an environment is waiting or failed", Errors: errorStatuses(http.StatusNotFound),
	}, func(ctx context.Context, in *struct{ EnvPath }) (wire.Why, error) {
		w, err := s.services.Environments.Why(ctx, caller(ctx), in.Env)
		if err != nil {
			return wire.Why{}, err
		}
		answer := why(caller(ctx), w, s.services.Now())
		answer.Environment, err = s.withSource(ctx, w.Env, answer.Environment)
		return answer, err
	})
	s.leaseRoutes(api)
	s.shareRoute(api)
}

// leaseRoutes are those that move the end of a lease.
func (s *Server) leaseRoutes(api huma.API) {
	act(s, api, toUse, huma.Operation{
		OperationID: "extend-environment", Method: http.MethodPost, Path: "/v1/environments/{env}/extend", Tags: []string{"environments"},
		Summary: "Extend a lease", Description: "Up to the maximum lifetime of the blueprint and the quotas.",
		Errors: errorStatuses(http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests),
	}, func(ctx context.Context, in *struct {
		EnvPath
		Body wire.ExtendRequest
	}) (wire.Environment, error) {
		env, err := s.services.Environments.Extend(ctx, caller(ctx), in.Env, seconds(in.Body.BySeconds))
		return s.one(ctx, env), err
	})

	act(s, api, toUse, huma.Operation{
		OperationID: "touch-environment", Method: http.MethodPost, Path: "/v1/environments/{env}/touch", Tags: []string{"environments"},
		Summary: "Reset the idle timer of an environment", Description: "Only matters for a lease with an idle time. Commands, copies and network traffic reset the timer too.",
		Errors: errorStatuses(http.StatusNotFound, http.StatusConflict),
	}, func(ctx context.Context, in *struct{ EnvPath }) (wire.Environment, error) {
		env, err := s.services.Environments.Touch(ctx, caller(ctx), in.Env)
		return s.one(ctx, env), err
	})

	act(s, api, toUse, huma.Operation{
		OperationID: "release-environment", Method: http.MethodDelete, Path: "/v1/environments/{env}", Tags: []string{"environments"},
		Summary:     "Delete an environment",
		Description: "Succeeds in every state, and again for a deleted environment. Returns as soon as the deletion is recorded. Watch the environment to wait until it is destroyed.",
		Errors:      errorStatuses(http.StatusNotFound), DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct{ EnvPath }) (wire.Environment, error) {
		env, err := s.services.Environments.Release(ctx, caller(ctx), in.Env)
		return s.one(ctx, env), err
	})
}

// shareRoute says who may use an environment beside its owner.
func (s *Server) shareRoute(api huma.API) {
	act(s, api, toShare, huma.Operation{
		OperationID: "share-environment", Method: http.MethodPut, Path: "/v1/environments/{env}/share", Tags: []string{"environments"},
		Summary:     "Set who besides the owner may use and delete an environment",
		Description: "When you stop sharing, open streams of others end within 10 s.",
		Errors:      errorStatuses(http.StatusBadRequest, http.StatusNotFound, http.StatusConflict),
	}, func(ctx context.Context, in *struct {
		EnvPath
		Body wire.ShareRequest
	}) (wire.Environment, error) {
		env, err := s.services.Environments.Share(ctx, caller(ctx), in.Env, fleet.Share(in.Body.With))
		return s.one(ctx, env), err
	})
}

func (s *Server) create(ctx context.Context, in *createInput) (*envAnswer, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	req, err := s.request(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	req.IdempotencyKey = in.Key
	got, err := s.services.Requests.Acquire(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &envAnswer{http.StatusCreated, s.one(ctx, got.Env)}
	if got.Existed {
		out.Status = http.StatusOK
	}
	return out, nil
}

// request is what the caller asks for, on behalf of the team that they name.
func (s *Server) request(ctx context.Context, body wire.CreateRequest) (service.Request, error) {
	who := caller(ctx)
	if body.Team != "" {
		var err error
		p := requestOf(ctx).peer
		if who, err = s.people.Identify(p.name, p.uid, body.Team); err != nil {
			return service.Request{}, err
		}
	}
	return service.Request{
		Who: who, Project: body.Project, PullRequest: body.PullRequest,
		Blueprint: body.Blueprint, Size: body.Size, Name: body.Name, Share: fleet.Share(body.Share),
		TTL: span(body.TTLSeconds), Idle: span(body.IdleSeconds), QueueTimeout: span(body.QueueTimeoutSeconds),
		NoQueue: body.NoQueue, NoPool: body.NoPool, Inputs: body.Inputs, Vars: body.Vars, Secrets: body.Secrets,
	}, nil
}

// span is a duration of seconds that may be absent.
func span(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	return new(seconds(*n))
}

func quote(q service.Quote) wire.Quote {
	w := wire.Quote{
		Blueprint: blueprintRef(q.Blueprint), Size: size(q.Size), TTLSeconds: int64(q.TTL / time.Second), CostMicros: q.Micros,
		Warm: q.Warm, Cold: q.Cold, Rank: q.Rank, ReadyAt: when(q.ReadyAt),
	}
	if r := q.Refusal; r != nil {
		w.Refusal = problemAbout(r, r.Hint)
	}
	return w
}

func why(who fleet.Identity, w service.Why, now time.Time) wire.Why {
	return wire.Why{
		Environment: environment(who, w.Env, now), Cause: w.Cause, Next: w.Next, Rank: w.Rank, ReadyAt: when(w.ReadyAt),
		Estimates: wire.Estimates{
			Count: w.Estimates.Count, MedianSeconds: int64(w.Estimates.Median / time.Second), P90Seconds: int64(w.Estimates.P90 / time.Second),
		},
		Events: events(w.Events),
	}
}
