package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// access is what a route needs of its caller. The role is decided here, before anything of the request's body is read; what is
// somebody's is decided where its row is read, by the use case. The zero value belongs to no route: register refuses it.
type access struct {
	kind accessKind
	// what completes "only the platform role may", for a route of the platform role.
	what string
	// flag is a query parameter that is only for the platform role, flagWhat completes the same sentence; both may be empty.
	flag, flagWhat string
}

type accessKind string

// The kinds of access, as the document's x-bothy-access has them.
const (
	accessOpen     accessKind = "open"
	accessMember   accessKind = "member"
	accessTenant   accessKind = "tenant"
	accessUse      accessKind = "use"
	accessOwner    accessKind = "owner"
	accessPlatform accessKind = "platform"
)

var (
	// anybody needs no identity: the answer says nothing about anyone.
	anybody = access{kind: accessOpen}
	// member is for everybody who is in a team; the use case gives them what their tenant may see.
	member = access{kind: accessMember}
	// toSee shows one thing of a tenant's, which the use case finds for its members and the platform role.
	toSee = access{kind: accessTenant}
	// toUse uses or deletes one environment: for its owner and whom it is shared with.
	toUse = access{kind: accessUse}
	// toShare is for an environment's owner.
	toShare = access{kind: accessOwner}
)

// platformTo is for the platform role, to do what.
func platformTo(what string) access { return access{kind: accessPlatform, what: what} }

// butFor keeps one query parameter, a boolean, for the platform role, to do what.
func (a access) butFor(flag, what string) access {
	a.flag, a.flagWhat = flag, what
	return a
}

// accessExtension is the operation's key in the document that tells what it needs.
const accessExtension = "x-bothy-access"

// override is the parameter of the routes whose environment the platform role may use all the same.
var override = &huma.Param{
	Name: wire.AsPlatform, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(maxReason)},
	Description: "Reason, for the record, for using the platform role on environments of others",
}

// says is who may, for the document.
func (a access) says() string {
	text := map[accessKind]string{
		accessOpen:     "Anyone, without a token",
		accessMember:   "Every member of a team",
		accessTenant:   "Members of its tenant and the platform role; others get 404",
		accessUse:      "Its owner and users it is shared with; the platform role with " + wire.AsPlatform + "; other members of its tenant get 403, all others 404",
		accessOwner:    "Its owner; the platform role with " + wire.AsPlatform + "; other members of its tenant get 403, all others 404",
		accessPlatform: "The platform role",
	}[a.kind]
	if a.flag != "" {
		text += "; " + a.flag + " requires the platform role"
	}
	return "Who may: " + text + "."
}

// statuses are those that a refusal for lack of access has.
func (a access) statuses() []int {
	switch a.kind {
	case accessOpen:
		return nil
	case accessTenant, accessUse, accessOwner:
		return []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	}
	return []int{http.StatusUnauthorized, http.StatusForbidden}
}

// allows refuses a caller who may not use a route.
func (a access) allows(who fleet.Identity, r *http.Request) error {
	switch {
	case a.kind == accessOpen:
		return nil
	case who.User == "":
		return problem(fleet.CodeUnauthenticated, "", "the caller is unknown")
	case a.kind == accessPlatform && !who.Platform():
		return platformOnly(a.what)
	case a.flag != "" && !who.Platform():
		if on, err := strconv.ParseBool(r.URL.Query().Get(a.flag)); err == nil && on {
			return platformOnly(a.flagWhat)
		}
	}
	return nil
}

func platformOnly(what string) error {
	return problem(fleet.CodePolicy, "ask your platform team, which grants the role in the organisation file", "only the platform role may %s", what)
}

// register is the only way to a route: it takes what the route needs, enforces it before the body is read, and writes it into
// the document.
func register[I, O any](s *Server, api huma.API, need access, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	if need.kind == "" || (need.kind == accessPlatform) != (need.what != "") || (need.flag != "") != (need.flagWhat != "") {
		panic("register " + op.OperationID + ": no access rule") // The routes are fixed: any test sees it.
	}
	need.describe(&op)
	op.Middlewares = append(huma.Middlewares{func(hctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(hctx)
		info := requestOf(r.Context())
		if err := need.allows(info.who, r); err != nil {
			refuseUnread(w, r, err)
			return
		}
		if need.kind == accessUse {
			info.uses = hctx.Param("env")
		}
		if op.MaxBodyBytes == 0 { // It has none, or is a stream and reads it by itself.
			next(hctx)
			return
		}
		s.read(w, r, func() { next(hctx) })
	}}, op.Middlewares...)
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		requestOf(ctx).bodyDone() // It is decoded; what follows may take long.
		return handle(ctx, in)
	})
}

// describe writes what a route needs into its entry of the document.
func (a access) describe(op *huma.Operation) {
	if op.Extensions == nil {
		op.Extensions = map[string]any{}
	}
	op.Extensions[accessExtension] = string(a.kind)
	if op.Description != "" {
		op.Description += "\n\n"
	}
	op.Description += a.says()
	for _, status := range a.statuses() {
		if !slices.Contains(op.Errors, status) {
			op.Errors = append(op.Errors, status)
		}
	}
	if a.kind == accessUse || a.kind == accessOwner {
		op.Parameters = append(op.Parameters, override)
	}
}

// refuseUnread answers a request whose body is not looked at. The connection ends, or net/http would wait for the body to
// read it away before the answer.
func refuseUnread(w http.ResponseWriter, r *http.Request, err error) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	fail(w, r, err)
}
