package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

const (
	ndjson = "application/x-ndjson"
	tarred = "application/x-tar"
)

const about = `bothy manages build and deploy environments: it creates them on request, leases them, and deletes them without a trace.

On the unix socket the kernel identifies the caller, over TCP a bearer token does. Environments of other tenants are not found.
An environment that exists and that the caller may not use is refused with policy. Every error is a problem (RFC 9457) with a
code for machines, a sentence and often a hint. Codes and their statuses:
invalid 422, not_found 404, conflict 409, not_ready 409, quota 429, policy 403, denied 403, unauthenticated 401, too_large 413,
unavailable 503, provision_failed 502, internal 500. not_ready is a temporary conflict: the environment is not ready yet, and
Retry-After and retry_after_seconds have the wait before a retry. Amounts are in millionths of the currency unit.

The name of an environment is id:ID, its id or name (an id takes precedence), or TENANT/NAME. A name refers to the caller's own
tenant, for the platform role too.

x-bothy-access is the access that an operation requires: open; member (of any team); tenant (an object of the tenant, 404 for
all others); use (an environment: its owner, and its team or tenant if shared, 403 for others of its tenant);
owner (of an environment); platform. A caller with the platform role who sends a reason in ` + wire.AsPlatform + ` may use any
environment. bothy records this as environment.override.

A JSON body has at most 1 MiB, 10000 brackets, commas and colons, 32 levels and 1000 keys per object, each key once and
spelled as here. An error lists at most 20 places. Requests that are not HTTP get 400, 417 or 501 as plain text.

Streams end within 10 s after the caller loses its token, membership or role, with "your access was revoked".

Streams are NDJSON: one JSON value per line. A stream that ends early has the reason in its last line, {"problem": ...}.`

// routes builds the router and the OpenAPI document.
func (s *Server) routes() (chi.Router, huma.API) {
	router := chi.NewRouter()
	router.Use(middleware.GetHead)
	router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, problem(fleet.CodeNotFound, "see /openapi.json", "no route %s", r.URL.Path))
	})
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		allowed := allowedMethods(router, r.URL.Path)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		fail(w, r, withStatus(http.StatusMethodNotAllowed, fleet.CodeInvalid, "allowed: "+strings.Join(allowed, ", "), r.Method+" is not allowed at "+r.URL.Path))
	})

	config := huma.DefaultConfig("bothy", "1")
	config.Info.Description = about
	// No pages, no links in bodies: the document is served by a route of our own.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil
	config.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "Required over TCP. On the unix socket the kernel identifies the caller."},
	}
	config.Security = []map[string][]string{{"token": {}}, {}}
	config.Tags = []*huma.Tag{
		{Name: "environments", Description: "Provisioned instances, from request to tombstone"},
		{Name: "inside", Description: "Commands and files in an environment"},
		{Name: "blueprints", Description: "Blueprints"},
		{Name: "money", Description: "Prices, cost and receipts"},
		{Name: "platform", Description: "Pools, quotas and hosts of the platform team"},
		{Name: "system", Description: "The daemon itself"},
	}
	api := humachi.New(router, config)
	s.systemRoutes(api)
	s.blueprintRoutes(api)
	s.environmentRoutes(api)
	s.eventRoutes(api)
	s.poolRoutes(api)
	s.quotaRoutes(api)
	s.moneyRoutes(api)
	s.receiptRoutes(api)
	s.orphanRoutes(api)
	s.hostRoutes(api)
	s.streamRoutes(api)
	s.fileRoutes(api)
	s.execRoutes(api)

	bound(api)
	document := openAPI(api)
	router.Get("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // Who does not stay for the answer misses it.
	})
	return router, api
}

func allowedMethods(router chi.Routes, path string) []string {
	var allowed []string
	for _, m := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
		if router.Match(chi.NewRouteContext(), m, path) {
			allowed = append(allowed, m)
		}
	}
	return allowed
}

// bounded gives a request that does not stream its time.
func (s *Server) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.RequestTimeout)
}

// answer is a JSON answer of status 200.
type answer[T any] struct{ Body T }

// get registers a route that only reads.
func get[I, T any](s *Server, api huma.API, need access, op huma.Operation, handle func(context.Context, *I) (T, error)) {
	op.Method = http.MethodGet
	act(s, api, need, op, handle)
}

// act registers a route whose answer is one JSON value.
func act[I, T any](s *Server, api huma.API, need access, op huma.Operation, handle func(context.Context, *I) (T, error)) {
	op.MaxBodyBytes, op.BodyReadTimeout = maxBody, s.cfg.HeaderTimeout
	register(s, api, need, op, func(ctx context.Context, in *I) (*answer[T], error) {
		ctx, cancel := s.bounded(ctx)
		defer cancel()
		out, err := handle(ctx, in)
		if err != nil {
			return nil, err
		}
		return &answer[T]{out}, nil
	})
}

// EnvPath is the part of every route of one environment. It is exported because huma reads exported fields only.
type EnvPath struct {
	Env string `path:"env" minLength:"1" maxLength:"200" example:"calm-otter" doc:"id:ID, an id, or a name; an id takes precedence. A name refers to the existing environment of that name in the caller's own tenant, otherwise to the last deleted one. TENANT/NAME (with the slash escaped) refers to another tenant, for the platform role"`
}

// schemaOf gives the reference of a type's schema in the document.
func schemaOf[T any](api huma.API) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// content describes an answer that is not plain JSON.
func content(description, media string, schema *huma.Schema) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: description, Content: map[string]*huma.MediaType{media: {Schema: schema}}}}
}

func (s *Server) systemRoutes(api huma.API) {
	type none struct{}
	get(s, api, anybody, huma.Operation{
		OperationID: "healthz", Path: healthPath, Tags: []string{"system"}, Summary: "Is the daemon alive?",
		Description: "Returns 200 whenever the daemon answers. Requires no token.",
	}, func(context.Context, *none) (wire.Alive, error) { return wire.Alive{Status: "ok"}, nil })

	type ready struct {
		Status int
		Body   wire.Health
	}
	op := huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{"system"}, Summary: "Can the daemon work now?",
		Description: "Returns 503 while something that the daemon requires is unavailable. The body lists the checks in both cases. The daemon runs its checks every few seconds, and a request " +
			"reads the last results. Only the platform role sees the causes.",
	}
	op.Responses = map[string]*huma.Response{"503": {Description: "Not ready", Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[wire.Health](api)}}}}
	op.Errors = []int{http.StatusUnauthorized, http.StatusInternalServerError}
	register(s, api, member, op, func(ctx context.Context, _ *none) (*ready, error) {
		ctx, cancel := s.bounded(ctx)
		defer cancel()
		h := s.health(ctx)
		if !h.Ready {
			return &ready{http.StatusServiceUnavailable, h}, nil
		}
		return &ready{http.StatusOK, h}, nil
	})

	get(s, api, member, huma.Operation{
		OperationID: "version", Path: "/v1/version", Tags: []string{"system"}, Summary: "Get the version of the daemon",
	}, func(context.Context, *none) (wire.Version, error) {
		return wire.Version{Version: s.cfg.Version, Instance: s.services.Instance, MaxCopyBytes: s.cfg.MaxUpload}, nil
	})
	get(s, api, member, huma.Operation{
		OperationID: "doctor", Path: "/v1/doctor", Tags: []string{"system"}, Summary: "Get the daemon's checks",
		Description: "The checks of readyz, always with status 200. Only the platform role sees the causes.",
	}, func(ctx context.Context, _ *none) (wire.Health, error) {
		return s.health(ctx), nil
	})
}

func (s *Server) blueprintRoutes(api huma.API) {
	get(s, api, member, huma.Operation{
		OperationID: "list-blueprints", Path: "/v1/blueprints", Tags: []string{"blueprints"}, Summary: "List blueprints",
	}, func(context.Context, *struct{}) (wire.BlueprintList, error) {
		return wire.BlueprintList{Blueprints: each(s.services.Blueprints.List(), blueprint)}, nil
	})
	get(s, api, member, huma.Operation{
		OperationID: "get-blueprint", Path: "/v1/blueprints/{name}", Tags: []string{"blueprints"}, Summary: "Show one blueprint",
		Errors: errorStatuses(http.StatusNotFound),
	}, func(_ context.Context, in *struct {
		Name string `path:"name" minLength:"1" maxLength:"100" example:"build@1.0.0" doc:"Name, or name@version"`
	}) (wire.Blueprint, error) {
		b, err := s.services.Blueprints.Get(in.Name)
		return blueprint(b), err
	})
}

// errorStatuses lists what any route may answer besides its own errors.
func errorStatuses(own ...int) []int {
	return append(own, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable)
}

// streamRoutes are the routes that answer line by line.
func (s *Server) streamRoutes(api huma.API) {
	register(s, api, toSee, huma.Operation{
		OperationID: "watch-environment", Method: http.MethodGet, Path: "/v1/environments/{env}/watch", Tags: []string{"environments"},
		Summary:     "Follow an environment",
		Description: "One Update per line: at once, and on every change of the environment or its events. Empty lines are heartbeats. Ends when the environment is destroyed.",
		Responses:   content("Updates, one per line", ndjson, schemaOf[wire.Update](api)),
		Errors:      errorStatuses(http.StatusNotFound, http.StatusTooManyRequests),
	}, func(_ context.Context, in *struct {
		EnvPath
		After int64 `query:"after" minimum:"0" doc:"Skip events up to this number"`
	}) (*huma.StreamResponse, error) {
		return s.stream(func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
			ctx, out := s.newLines(ctx, w)
			defer out.close()
			return out.end(ctx, s, s.services.Environments.Watch(ctx, caller(ctx), in.Env, in.After, func(e fleet.Environment, es []fleet.Event) error {
				return out.write(wire.Update{Environment: s.one(ctx, e), Events: events(es)})
			}))
		}), nil
	})

	register(s, api, toUse, huma.Operation{
		OperationID: "environment-logs", Method: http.MethodGet, Path: "/v1/environments/{env}/logs", Tags: []string{"environments"},
		Summary:     "Read the log of an environment",
		Description: "One LogLine per line, oldest first: messages of bothy, Terraform and the sandbox. Empty lines are heartbeats. Works for a deleted environment too.",
		Responses:   content("Log lines, one per line", ndjson, schemaOf[wire.LogLine](api)),
		Errors:      errorStatuses(http.StatusNotFound, http.StatusTooManyRequests),
	}, func(_ context.Context, in *struct {
		EnvPath
		Since  time.Time `query:"since" doc:"Skip older lines" example:"2026-01-31T12:00:00Z"`
		Follow bool      `query:"follow" doc:"Continue until the environment is destroyed"`
	}) (*huma.StreamResponse, error) {
		return s.stream(func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
			// A log may be empty for long: the head goes out as soon as it is known that there is one for the caller.
			if err := s.services.Environments.MayUse(ctx, caller(ctx), in.Env); err != nil {
				return err
			}
			ctx, out := s.newLines(ctx, w)
			defer out.close()
			if err := out.begin(); err != nil {
				return out.end(ctx, s, err)
			}
			return out.end(ctx, s, s.services.Sandboxes.Logs(ctx, caller(ctx), in.Env, in.Since, in.Follow, func(l fleet.LogLine) error {
				return out.write(logLine(l))
			}))
		}), nil
	})
}
