package daemon_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// TestShareOfARequest: what a request says, else the organisation's default, else nobody. The default may change between two tries
// of one request, which gets what it got.
func TestShareOfARequest(t *testing.T) {
	b := setup(t)
	of := func(share fleet.Share) fleet.Identity {
		who := ann
		who.Share = share
		return who
	}
	for name, c := range map[string]struct {
		req  service.Request
		want fleet.Share
	}{
		"said":         {service.Request{Who: of(fleet.ShareTeam), Share: fleet.ShareTenant}, fleet.ShareTenant},
		"said nobody":  {service.Request{Who: of(fleet.ShareTeam), Share: fleet.ShareNobody}, fleet.ShareNobody},
		"by default":   {service.Request{Who: of(fleet.ShareTeam)}, fleet.ShareTeam},
		"no default":   {service.Request{Who: of("")}, fleet.ShareNobody},
		"another file": {service.Request{Who: of(fleet.ShareTenant), IdempotencyKey: "once"}, fleet.ShareTenant},
	} {
		got, err := b.engine.Acquire(t.Context(), c.req)
		if err != nil || got.Env.Share != c.want {
			t.Errorf("%s: shared with %q, want %q (%v)", name, got.Env.Share, c.want, err)
		}
		if c.req.IdempotencyKey == "" {
			continue
		}
		c.req.Who = of(fleet.ShareNobody)
		again, err := b.engine.Acquire(t.Context(), c.req)
		if err != nil || !again.Existed || again.Env.ID != got.Env.ID || again.Env.Share != c.want {
			t.Errorf("%s, again: %+v, %v", name, again, err)
		}
	}
	_, err := b.engine.Acquire(t.Context(), service.Request{Who: ann, Share: "all"})
	wantCode(t, err, fleet.CodeInvalid)
}

// TestShareOfAClaim: what a pool keeps is nobody's, and is shared as its claimant says once it is claimed.
func TestShareOfAClaim(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	b.untilWarm(1)
	live, err := b.db.Live(t.Context())
	if err != nil || len(live) != 1 || live[0].Share != "" {
		t.Fatalf("warm: %+v, %v", live, err)
	}
	for _, who := range []fleet.Identity{ann, platform} {
		if err := b.engine.MayUse(t.Context(), who, live[0].ID); err == nil {
			t.Errorf("%s may use what a pool keeps", who.User)
		}
	}
	env := b.acquire(func(r *service.Request) { r.Share = fleet.ShareTenant })
	if env.ID != live[0].ID || env.Share != fleet.ShareTenant {
		t.Fatalf("claimed: %+v", env)
	}
	if err := b.engine.MayUse(t.Context(), bob, env.ID); err != nil {
		t.Errorf("bob, with whom it is shared: %v", err)
	}
	if err := b.engine.MayUse(t.Context(), stranger, env.ID); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Errorf("a stranger: %v", err)
	}
	// Whom it is shared with may use and delete it, and not share it on.
	_, err = b.engine.Share(t.Context(), bob, env.ID, fleet.ShareTeam)
	wantCode(t, err, fleet.CodePolicy)
	if _, err := b.engine.Share(t.Context(), ann, env.ID, fleet.ShareNobody); err != nil {
		t.Fatal(err)
	}
	_, err = b.engine.Release(t.Context(), bob, env.ID)
	wantCode(t, err, fleet.CodePolicy)
	// What is gone is shared with nobody else any more.
	b.release(env.ID)
	_, err = b.engine.Share(t.Context(), ann, env.ID, fleet.ShareTeam)
	wantCode(t, err, fleet.CodeConflict)
	_, err = b.engine.Share(t.Context(), ann, env.ID, "all")
	wantCode(t, err, fleet.CodeInvalid)
}
