package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// unconfirmed is how often in a row access may not be confirmed, as while the token file is being written, before it counts as gone.
const unconfirmed = 3

// recheck asks again and again whether whoever has a long answer may still have it, and ends the answer when not.
type recheck struct {
	every  time.Duration
	who    fleet.Identity
	again  func() (fleet.Identity, error)
	revoke func(*wire.Problem)
	// uses reports by its error whether they may still use the environment that the answer is about; nil when it uses none.
	uses func(fleet.Identity) error

	mu     sync.Mutex
	timer  *time.Timer
	misses int
	over   bool
}

// watchAccess rechecks the caller of r until stop. When access is gone, cancel gets the problem that says so, and a client
// that does not read the last word is cut off soon after.
func (s *Server) watchAccess(w http.ResponseWriter, r *http.Request, cancel context.CancelCauseFunc) (stop func()) {
	info := requestOf(r.Context())
	if info.again == nil {
		return func() {}
	}
	c := &recheck{every: s.cfg.RecheckEvery, who: info.who, again: info.again}
	if info.uses != "" {
		c.uses = func(now fleet.Identity) error {
			ctx, cancel := s.bounded(s.killing)
			defer cancel()
			return s.services.Environments.MayUse(ctx, now, info.uses)
		}
	}
	c.revoke = func(p *wire.Problem) {
		info.log.Info("access revoked: stream ended", "caller", info.who.User)
		cancel(p)
		// The last word of a refused upload takes lingerWait itself.
		c.timer = time.AfterFunc(2*lingerWait, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.over {
				return // The connection may serve another request by now.
			}
			rc := http.NewResponseController(w)
			// A connection that cannot take deadlines has none.
			_ = rc.SetWriteDeadline(realTime())
			_ = rc.SetReadDeadline(realTime())
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(c.every, c.look)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.over = true
		c.timer.Stop()
	}
}

func (c *recheck) look() {
	now, err := c.again()
	if err == nil && !mayStill(c.who, now) {
		err = fleet.Errorf(fleet.CodePolicy, "changed tenant, team or role")
	}
	if err == nil && c.uses != nil {
		// One that is gone ends the answer by itself, and while the records cannot be read nobody can have changed whose it is.
		if shared := c.uses(now); fleet.CodeOf(shared) == fleet.CodePolicy {
			err = shared
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	switch {
	case err == nil:
		c.misses = 0
	case fleet.CodeOf(err) == fleet.CodeUnavailable:
		if c.misses++; c.misses >= unconfirmed {
			c.revoke(problem(fleet.CodeUnavailable, "retry later", "your access could not be confirmed"))
			return
		}
	default:
		c.revoke(problem(codeOf(err), "ask the operator of bothyd", "your access was revoked"))
		return
	}
	c.timer.Reset(c.every)
}

// codeOf is the code of a refusal, of fleet's or this package's own.
func codeOf(err error) fleet.Code {
	if p, ok := errors.AsType[*wire.Problem](err); ok {
		return fleet.Code(p.Code)
	}
	return fleet.CodeOf(err)
}

// mayStill reports whether what was opened as one identity may go on as another: of the same tenant, in no fewer teams, with no
// lesser role. With whom an environment is shared is asked for by uses.
func mayStill(then, now fleet.Identity) bool {
	left := func(team string) bool { return !slices.Contains(now.Teams, team) }
	return now.User == then.User && now.Tenant == then.Tenant && !slices.ContainsFunc(then.Teams, left) && (now.Platform() || !then.Platform())
}

// revoked gives the problem that ended a stream; nil when its access was not revoked.
func revoked(ctx context.Context) *wire.Problem {
	p, _ := errors.AsType[*wire.Problem](context.Cause(ctx))
	return p
}
