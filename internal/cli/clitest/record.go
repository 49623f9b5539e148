package clitest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

func (s *Server) listRates(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write(w, http.StatusOK, wire.RateList{Rates: s.set.rates})
}

func (s *Server) setRate(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var req wire.RateRequest
	if !decode(w, r, &req) {
		return
	}
	rate := wire.Rate{Blueprint: r.PathValue("blueprint"), Size: r.PathValue("size"), From: begun, MicrosPerHour: req.MicrosPerHour, Currency: req.Currency, SetBy: "alice"}
	if req.From != nil {
		rate.From = *req.From
	}
	s.set.rates = append(s.set.rates, rate)
	write(w, http.StatusOK, rate)
}

func (s *Server) cost(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	report := wire.CostReport{By: q.Get("by"), Rows: []wire.CostRow{
		{Key: "alice", Currency: "USD", LeasedMicros: 30_000, ProvisioningMicros: 100, DestroyingMicros: 200, TotalMicros: 30_300, Seconds: 7200},
		{Currency: "USD", PoolMicros: 5_000, TotalMicros: 5_000, Seconds: 1800},
	}, Total: wire.CostRow{Currency: "USD", LeasedMicros: 30_000, PoolMicros: 5_000, ProvisioningMicros: 100, DestroyingMicros: 200, TotalMicros: 35_300, Seconds: 9000}}
	for name, to := range map[string]**time.Time{"since": &report.Since, "until": &report.Until} {
		if t, err := time.Parse(time.RFC3339Nano, q.Get(name)); err == nil {
			*to = &t
		}
	}
	write(w, http.StatusOK, report)
}

// quote answers as the fate says that a request would go.
func (s *Server) quote(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var req wire.CreateRequest
	if !decode(w, r, &req) {
		return
	}
	size := sizeNamed(req.Size)
	q := wire.Quote{Blueprint: wire.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:00"}, Size: size, TTLSeconds: 3600, CostMicros: size.RateMicrosPerHour}
	switch s.fate {
	case "warm":
		q.Warm = true
	case "queued":
		q.Cold, q.Rank, q.ReadyAt = cold, 2, new(time.Now().Add(90*time.Second))
	case "refused":
		q.Refusal = &wire.Problem{Title: "Too Many Requests", Status: http.StatusTooManyRequests, Code: wire.CodeQuota, Detail: "team core has 3 of 3 environments", Hint: "bothy down web"}
	default:
		q.Cold = cold
	}
	write(w, http.StatusOK, q)
}

func (s *Server) why(w http.ResponseWriter, _ *http.Request, env *environment) {
	why := wire.Why{Environment: env.Environment, Cause: "it is " + env.State, Events: env.events}
	if q := env.Queue; q != nil {
		why.Cause, why.Next, why.Rank, why.ReadyAt = "every host is full", "bothy host ls", q.Rank, q.Estimate
		why.Estimates = wire.Estimates{Count: 34, MedianSeconds: 5, P90Seconds: 20}
	}
	write(w, http.StatusOK, why)
}

func (s *Server) touch(w http.ResponseWriter, _ *http.Request, env *environment) {
	if idle := env.Lease.IdleSeconds; idle > 0 {
		env.Lease.IdleEnd = new(time.Now().Add(time.Duration(idle) * time.Second))
	}
	write(w, http.StatusOK, env.Environment)
}

// record is called with the lock; it gives the entries that a query selects, in order.
func (s *Server) record(r *http.Request) []wire.Event {
	q := r.URL.Query()
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	events := []wire.Event{}
	for _, env := range s.envs {
		for _, e := range env.events {
			if name := q.Get("environment"); e.Seq > after && (name == "" || name == env.Name) && q.Get("pool") == e.Pool {
				events = append(events, e)
			}
		}
	}
	slices.SortFunc(events, func(a, b wire.Event) int { return int(a.Seq - b.Seq) })
	return events
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name := r.URL.Query().Get("environment"); name != "" && s.find(name) == nil {
		notFound(w, "environment "+name)
		return
	}
	events := s.record(r)
	if limit, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && r.URL.Query().Get("newest") == "true" {
		events = events[max(0, len(events)-limit):]
	}
	write(w, http.StatusOK, wire.EventList{Events: events})
}

// followEvents ends when nothing lives any more, so that scripts end.
func (s *Server) followEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	var last int64
	for {
		s.mu.Lock()
		events, changed := s.record(r), s.changed
		alive := slices.ContainsFunc(s.envs, func(e *environment) bool { return e.State != "destroyed" })
		s.mu.Unlock()
		for _, e := range events {
			if e.Seq > last {
				_ = json.NewEncoder(w).Encode(e)
				last = e.Seq
			}
		}
		_ = http.NewResponseController(w).Flush()
		if !alive {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
