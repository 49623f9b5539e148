package clitest

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/receipt"
)

// platform is what the platform team has set. It is kept as it was sent.
type platform struct {
	pools   []wire.Pool
	quotas  []wire.Quota
	rates   []wire.Rate
	hosts   []wire.Host
	orphans wire.OrphanReport
	brake   wire.Brake
	signer  ed25519.PrivateKey
}

// begun is long ago and always the same, so that scripts can name it.
var begun = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newPlatform() platform {
	return platform{
		hosts: []wire.Host{
			{Name: "rack1", Served: true, Endpoint: "unix:///var/run/docker.sock", Address: "https://rack1.example:8443", Capacity: wire.Capacity{Environments: 10, MilliCPUs: 8000, MemoryMiB: 16384}, Used: wire.Capacity{Environments: 2, MilliCPUs: 1500, MemoryMiB: 2048}, Labels: map[string]string{"zone": "a"}},
			{Name: "rack2", Endpoint: "tcp://127.0.0.1:2375", Lost: true, Environments: []string{"web"}},
			{Name: "rack3", Endpoint: "tcp://127.0.0.1:2376", Drained: true},
		},
		orphans: wire.OrphanReport{Safe: true, Reason: "the database was restored", Orphans: []wire.Orphan{
			{Host: "rack1", Kind: "container", ID: "c1", Name: "bothy-e1", Environment: "e1", FirstSeen: begun, LastSeen: begun, Sightings: 1},
			{Host: "rack1", Kind: "network", ID: "n2", Name: "bothy-e2", Environment: "e2", FirstSeen: begun, LastSeen: begun, Sightings: 2},
		}, Doubted: []wire.Doubt{
			{Environment: "e3", Name: "api", Owner: "ann", Host: "rack1", State: "leased", Known: "its lease ended 2026-03-01T12:00:00Z as recorded; it may have been extended"},
		}},
		brake:  wire.Brake{On: true, Since: &begun, Reason: "6 of 8 leases would end at once", Live: 8, Reaped: 2},
		signer: ed25519.NewKeyFromSeed([]byte("a key for tests, of thirty-two b")),
	}
}

func (s *Server) platformRoutes(mux *http.ServeMux) {
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /v1/pools":                      s.pools,
		"GET /v1/pools/{pool}":               s.pool,
		"PUT /v1/pools/{pool}":               s.setPool,
		"DELETE /v1/pools/{pool}":            s.removePool,
		"POST /v1/pools/{pool}/resume":       s.resumePool,
		"GET /v1/quotas":                     s.listQuotas,
		"GET /v1/quotas/{scope}":             s.quota,
		"PUT /v1/quotas/{scope}":             s.setQuota,
		"GET /v1/rates":                      s.listRates,
		"PUT /v1/rates/{blueprint}/{size}":   s.setRate,
		"GET /v1/cost":                       s.cost,
		"GET /v1/hosts":                      s.listHosts,
		"POST /v1/hosts/{host}/{verb}":       s.drain,
		"GET /v1/orphans":                    s.listOrphans,
		"POST /v1/orphans/{verb}":            s.decide,
		"GET /v1/brake":                      s.showBrake,
		"POST /v1/brake/release":             s.releaseBrake,
		"GET /v1/receipts":                   s.receipts,
		"GET /v1/receipts/key":               s.receiptKey,
		"GET /v1/environments/{env}/receipt": s.on(s.receipt),
		"GET /v1/environments/{env}/why":     s.on(s.why),
		"POST /v1/environments/{env}/touch":  s.on(s.touch),
		"GET /v1/events":                     s.events,
		"GET /v1/events/follow":              s.followEvents,
		"POST /v1/quote":                     s.quote,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			refused := r.Method != http.MethodGet && s.refused(w, false)
			s.mu.Unlock()
			if !refused {
				handle(w, r)
			}
		})
	}
}

func (s *Server) pools(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write(w, http.StatusOK, wire.PoolList{Pools: s.set.pools})
}

// findPool is called with the lock; it gives -1 after it has answered that there is none.
func (s *Server) findPool(w http.ResponseWriter, r *http.Request) int {
	i := slices.IndexFunc(s.set.pools, func(p wire.Pool) bool { return p.Name == r.PathValue("pool") })
	if i < 0 {
		notFound(w, "pool "+r.PathValue("pool"))
	}
	return i
}

func (s *Server) pool(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.findPool(w, r); i >= 0 {
		write(w, http.StatusOK, s.set.pools[i])
	}
}

func (s *Server) setPool(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var req wire.PoolRequest
	if !decode(w, r, &req) {
		return
	}
	p := wire.Pool{
		Name: r.PathValue("pool"), Blueprint: req.Blueprint, Size: req.Size, Inputs: req.Inputs, Target: req.Target, Schedule: req.Schedule, Zone: req.Zone,
		Min: req.Min, Max: req.Target + req.Surge, Surge: req.Surge, Pause: req.Pause, Digest: "sha256:00",
		TargetNow: int(req.Target), Warm: 1, Making: int(req.Target) - 1, UpdatedAt: begun, UpdatedBy: "alice",
	}
	switch {
	case req.Max != nil:
		p.Max = *req.Max
	case req.Min > 0 && req.Min >= req.Target && req.Surge == 0:
		p.Max++
	}
	s.set.pools = slices.DeleteFunc(s.set.pools, func(old wire.Pool) bool { return old.Name == p.Name })
	s.set.pools = append(s.set.pools, p)
	write(w, http.StatusOK, p)
}

func (s *Server) removePool(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.findPool(w, r); i >= 0 {
		s.set.pools = slices.Delete(s.set.pools, i, i+1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) resumePool(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.findPool(w, r); i >= 0 {
		s.set.pools[i].Held, s.set.pools[i].Failures = "", 0
		write(w, http.StatusOK, s.set.pools[i])
	}
}

// HoldPool stops a pool, as if its members had kept failing.
func (s *Server) HoldPool(name, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.set.pools {
		if s.set.pools[i].Name == name {
			s.set.pools[i].Held, s.set.pools[i].Failures = why, 3
		}
	}
}

// StickPool keeps a pool from being rolled over.
func (s *Server) StickPool(name, why, hint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.set.pools {
		if p := &s.set.pools[i]; p.Name == name {
			p.Stale, p.Stuck, p.StuckHint = p.Warm, why, hint
		}
	}
}

func (s *Server) listQuotas(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write(w, http.StatusOK, wire.QuotaList{Quotas: s.set.quotas})
}

// quotaOf is called with the lock; a scope that has no quota uses things all the same.
func (s *Server) quotaOf(scope string) wire.Quota {
	for _, q := range s.set.quotas {
		if q.Scope == scope {
			return q
		}
	}
	return wire.Quota{Scope: scope, Usage: wire.Usage{Environments: 2, MilliCPUs: 1500, MemoryMiB: 2048, SecondsToday: 5400, MicrosToday: 15_000, MicrosThisMonth: 2_500_000}}
}

func (s *Server) quota(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Count(r.PathValue("scope"), "/") == 1 {
		problem(w, wire.Problem{Title: "Unprocessable Entity", Status: http.StatusUnprocessableEntity, Code: wire.CodeInvalid, Detail: strconv.Quote(r.PathValue("scope")) + " is no scope"})
		return
	}
	write(w, http.StatusOK, s.quotaOf(r.PathValue("scope")))
}

func (s *Server) setQuota(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.quotaOf(r.PathValue("scope"))
	q.Limits = wire.Limits{}
	if !decode(w, r, &q.Limits) {
		return
	}
	s.set.quotas = slices.DeleteFunc(s.set.quotas, func(old wire.Quota) bool { return old.Scope == q.Scope })
	s.set.quotas = append(s.set.quotas, q)
	write(w, http.StatusOK, q)
}

func (s *Server) listHosts(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write(w, http.StatusOK, wire.HostList{Hosts: s.set.hosts})
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.set.hosts {
		if h.Name == r.PathValue("host") {
			s.set.hosts[i].Drained = r.PathValue("verb") == "drain"
			write(w, http.StatusOK, s.set.hosts[i])
			return
		}
	}
	notFound(w, "host "+r.PathValue("host"))
}

func (s *Server) listOrphans(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write(w, http.StatusOK, s.set.orphans)
}

// decide forgets those that were decided on.
func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var req wire.OrphanRequest
	if !decode(w, r, &req) {
		return
	}
	left := []wire.Orphan{}
	for _, o := range s.set.orphans.Orphans {
		if !req.All && !slices.Contains(req.Environments, o.Environment) {
			left = append(left, o)
		}
	}
	s.set.orphans.Orphans = left
	s.set.orphans.Doubted = slices.DeleteFunc(slices.Clone(s.set.orphans.Doubted), func(d wire.Doubt) bool {
		return req.All || slices.Contains(req.Environments, d.Environment)
	})
	if len(left)+len(s.set.orphans.Doubted) == 0 {
		s.set.orphans.Safe, s.set.orphans.Reason = false, ""
	}
	write(w, http.StatusOK, s.set.orphans)
}

func (s *Server) showBrake(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write(w, http.StatusOK, s.set.brake)
}

func (s *Server) releaseBrake(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set.brake = wire.Brake{}
	write(w, http.StatusOK, s.set.brake)
}

func (s *Server) receiptKey(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, wire.ReceiptKey{Algorithm: "ed25519", Key: s.set.signer.Public().(ed25519.PublicKey)})
}

func (s *Server) receipt(w http.ResponseWriter, _ *http.Request, env *environment) {
	if env.State != "destroyed" {
		problem(w, wire.Problem{Title: "Conflict", Status: http.StatusConflict, Code: wire.CodeConflict, Detail: env.Name + " is not gone yet", Hint: "bothy down " + env.Name})
		return
	}
	all, err := s.chain()
	if err != nil {
		problem(w, wire.Problem{Title: "Error", Status: http.StatusInternalServerError, Code: wire.CodeInternal, Detail: err.Error()})
		return
	}
	write(w, http.StatusOK, all[slices.IndexFunc(all, func(r wire.Receipt) bool { return r.Environment == env.ID })])
}

// receiptPage is how many receipts a page has.
const receiptPage = 2

func (s *Server) receipts(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused(w, false) {
		return
	}
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	var all []wire.Receipt
	if err == nil {
		all, err = s.chain()
	}
	if err != nil {
		problem(w, wire.Problem{Title: "Error", Status: http.StatusInternalServerError, Code: wire.CodeInternal, Detail: err.Error()})
		return
	}
	all = all[min(after, len(all)):]
	write(w, http.StatusOK, wire.ReceiptList{Receipts: all[:min(receiptPage, len(all))]})
}

// chain makes the receipts of all that are gone, in the order in which they were added. Within the lock.
func (s *Server) chain() (all []wire.Receipt, err error) {
	prev := receipt.First()
	for _, env := range s.envs {
		if env.State != "destroyed" {
			continue
		}
		r, err := receipt.Sign(receipt.Body{
			Version: receipt.Version, Instance: "testinst", Seq: int64(len(all)) + 1, PrevHash: prev, CreatedAt: begun, DestroyedAt: *env.DestroyedAt,
			Environment: receipt.Environment{ID: env.ID, Name: env.Name, Tenant: "acme", Team: "core", User: "alice", Blueprint: "build@1.0.0"},
			Resources: []receipt.Resource{
				{Kind: "container", Name: "bothy-" + env.ID},
				{Kind: "network", Name: "bothy-n" + env.ID, Note: "lent by the keeper of networks, which takes it back after this"},
			},
			Checks:     []receipt.Check{{At: begun, What: "everything with its label"}},
			CostMicros: 1234, Currency: "USD",
		}, s.set.signer)
		if err != nil {
			return nil, err
		}
		all, prev = append(all, wire.Receipt(r)), r.Hash
	}
	return all, nil
}

// decode reads a body, or answers that it cannot be read.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	if err != nil {
		problem(w, wire.Problem{Title: "Bad Request", Status: http.StatusBadRequest, Code: wire.CodeInvalid, Detail: err.Error()})
	}
	return err == nil
}
