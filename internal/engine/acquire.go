package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// DefaultBlueprint is taken when a request names none.
const DefaultBlueprint = "build"

// Request asks for an environment.
type Request struct {
	// Owner is the user who asks, as the listener authenticated them.
	Owner   string
	Project string
	// Blueprint is a name or name@version; DefaultBlueprint when empty.
	Blueprint string
	// Size is one of the blueprint's; its default when empty.
	Size string
	// Name is made up when empty.
	Name string
	// TTL is the lease from hand-over on; the blueprint's default when nil.
	TTL    *time.Duration
	Inputs map[string]any
	// IdempotencyKey makes a retry give the same environment; may be empty.
	IdempotencyKey string
}

// nameTries is how often a made-up name is made again because it was taken.
const nameTries = 8

// Acquire admits a request and answers at once with a pending environment, or
// with the one that the same idempotency key gave before (existed).
//
// Errors: invalid (a name, size, ttl or input is wrong), not_found (no such blueprint),
// policy (the ttl is over the blueprint's maximum), conflict (the name is
// taken, or the key was used for another request).
func (e *Engine) Acquire(ctx context.Context, req Request) (env fleet.Environment, existed bool, err error) {
	now := e.Now()
	env, err = e.admissible(req)
	if err != nil {
		return fleet.Environment{}, false, err
	}
	hash, err := requestHash(req)
	if err != nil {
		return fleet.Environment{}, false, err
	}
	for try := 1; ; try++ {
		env.ID = newID()
		if env.Name = req.Name; env.Name == "" {
			env.Name = newName()
		}
		env.CreatedAt, env.UpdatedAt = now, now
		admitted, existed, err := e.store.Admit(ctx, store.Admission{
			Env: env, RequestHash: hash,
			Event: e.event(&env, req.Owner, "environment.requested", "%s asked for %s, size %s, for %s",
				req.Owner, env.Blueprint, env.Size.Name, env.Lease.TTL),
		})
		if fleet.CodeOf(err) == fleet.CodeConflict && req.Name == "" && req.IdempotencyKey == "" && try < nameTries {
			continue
		}
		if err != nil {
			return fleet.Environment{}, false, err
		}
		nudge(e.planNudge)
		return admitted, existed, nil
	}
}

// admissible builds the row of a request, or says what is wrong with it.
func (e *Engine) admissible(req Request) (fleet.Environment, error) {
	var none fleet.Environment
	name := req.Blueprint
	if name == "" {
		name = DefaultBlueprint
	}
	bp, err := e.blueprints.Get(name)
	if err != nil {
		return none, err
	}
	if req.Name != "" {
		if err := checkName(req.Name); err != nil {
			return none, err
		}
	}
	size, ok := bp.SizeNamed(req.Size)
	if !ok {
		return none, fleet.Errorf(fleet.CodeInvalid, "blueprint %s has no size %q", bp.Ref, req.Size).
			WithHint("its sizes: %s", sizeNames(bp))
	}
	ttl, err := leaseTTL(bp, req.TTL)
	if err != nil {
		return none, err
	}
	inputs, err := fleet.CheckInputs(bp, req.Inputs)
	if err != nil {
		return none, err
	}
	return fleet.Environment{
		Owner: req.Owner, Project: req.Project, IdempotencyKey: req.IdempotencyKey,
		Blueprint: bp.Ref, Size: size, Image: bp.Image, Users: bp.Users, Workspace: bp.Workspace,
		Inputs: inputs, State: fleet.Pending,
		Lease: fleet.Lease{TTL: ttl, MaxTTL: bp.MaxTTL},
	}, nil
}

func leaseTTL(bp fleet.Blueprint, asked *time.Duration) (time.Duration, error) {
	if asked == nil {
		return bp.DefaultTTL, nil
	}
	if *asked <= 0 {
		return 0, fleet.Errorf(fleet.CodeInvalid, "ttl %s is not more than zero", *asked).
			WithHint("ask for a time such as 30m, at most %s", bp.MaxTTL)
	}
	if *asked > bp.MaxTTL {
		return 0, fleet.Errorf(fleet.CodePolicy, "ttl %s is above the maximum of blueprint %s, which is %s", *asked, bp.Ref, bp.MaxTTL).
			WithHint("ask for %s or less", bp.MaxTTL)
	}
	return asked.Truncate(time.Microsecond), nil
}

func sizeNames(bp fleet.Blueprint) string {
	var names string
	for i, s := range bp.Sizes {
		if i > 0 {
			names += ", "
		}
		names += s.Name
	}
	return names
}

// requestHash tells two requests under one idempotency key apart. Go encodes
// maps with sorted keys, so equal requests have equal hashes.
func requestHash(req Request) (string, error) {
	text, err := json.Marshal(req)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
