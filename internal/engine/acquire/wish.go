package acquire

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/quota"
)

// wish is a valid request: the row that it asks for, and what does not belong in the row.
type wish struct {
	// env has no id yet, and no name if bothy generates one.
	env     fleet.Environment
	secrets map[string][]byte
	hash    string
	// noPool and noQueue are those of the request.
	noPool, noQueue bool
	// refusal is the last refusal by a limit; nil once it is admitted.
	refusal *quota.Refusal
	// wouldWait refuses a request that would have to wait and may not; nil for all others.
	wouldWait *fleet.Error
}

// hold is the price of the whole lease, reserved in every budget that it counts towards.
func (w *wish) hold(now time.Time) int64 {
	return ledger.Hold(w.env.Size.RateMicros, now, now.Add(w.env.Lease.TTL))
}

// wish builds the row of a request, or returns what is wrong with the request.
func (r *Requests) wish(req Request, rates []fleet.Rate, now time.Time) (*wish, error) {
	bp, size, err := r.catalogue.Sized(req.Blueprint, req.Size)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(checkRequest(req), besideCertificates(req.Secrets, r.cfg.Certificates.Files())); err != nil {
		return nil, err
	}
	lease, err := leaseOf(bp, req)
	if err != nil {
		return nil, err
	}
	inputs, err := fleet.CheckInputs(bp, req.Inputs)
	if err != nil {
		return nil, err
	}
	env := Blank(bp, Priced(size, bp, rates, now), inputs)
	if env.MatchKey, err = fleet.MatchKey(bp.Ref.Digest, size.Name, inputs); err != nil {
		return nil, err
	}
	env.Name, env.Tenant, env.Team, env.Owner = req.Name, req.Who.Tenant, req.Who.Team, req.Who.User
	env.Share = cmp.Or(req.Share, req.Who.Share, fleet.ShareNobody)
	env.Project, env.PullRequest, env.IdempotencyKey = req.Project, req.PullRequest, req.IdempotencyKey
	env.Lease, env.Vars = lease, req.Vars
	env.SecretNames = slices.Sorted(maps.Keys(req.Secrets))
	w := &wish{env: env, secrets: req.Secrets, noPool: req.NoPool, noQueue: req.NoQueue}
	if t := req.QueueTimeout; t != nil {
		w.noQueue = w.noQueue || *t == 0
		w.env.Queue.Until = now.Add(min(*t, longestWait))
	}
	if w.noQueue {
		// The forecast ran before; others may take the capacity in between.
		w.env.Queue.Until = now.Add(noQueueGrace)
	}
	w.hash, err = r.requestHash(req)
	return w, err
}

const (
	// longestWait bounds a queue timeout, so that no sum of times overflows.
	longestWait = 366 * 24 * time.Hour
	// noQueueGrace is how long a request that may not wait waits for the next plan.
	noQueueGrace = 2 * time.Second
)

// ask is what the quotas decide on.
func (w *wish) ask(now time.Time) quota.Ask {
	return quota.Ask{
		Blueprint: w.env.Blueprint.Name, Size: w.env.Size.Name,
		MilliCPUs: w.env.Size.MilliCPUs(), MemoryMiB: w.env.Size.MemoryMiB,
		TTL: w.env.Lease.TTL, Micros: w.hold(now), Currency: w.env.Size.Currency,
	}
}

// decide admits or refuses the wish, given the limits and usage of its scopes. It runs again if the transaction does.
func (w *wish) decide(scopes []fleet.ScopeUsage, now time.Time) error {
	if w.refusal = quota.Decide(w.ask(now), scopes); w.refusal != nil {
		return w.refusal.Err()
	}
	if w.wouldWait != nil {
		return w.wouldWait
	}
	return nil
}
