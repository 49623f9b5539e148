package clitest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

var sizes = []wire.Size{
	{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicrosPerHour: 10_000, Currency: "USD"},
	{Name: "medium", CPUs: 2, MemoryMiB: 2048, Pids: 512, RateMicrosPerHour: 20_000, Currency: "USD"},
}

var build = wire.Blueprint{
	Name: "build", Version: "1.0.0", Digest: "sha256:00", Description: "Build tools", Image: "bothy/build",
	Users: []string{"dev", "root"}, Workspace: "/workspace", DefaultTTLSeconds: 3600, MaxTTLSeconds: 28800, Sizes: sizes, DefaultSize: "small",
	Inputs: []wire.Input{{Name: "shm_mib", Type: "integer", Default: 64, Min: new(16.0), Max: new(1024.0), Description: "Shared memory"}},
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, wire.Version{Version: "dev", Instance: "testinst", MaxCopyBytes: s.copyLimit()})
	})
	mux.HandleFunc("GET /v1/doctor", s.doctor)
	mux.HandleFunc("GET /v1/blueprints", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, wire.BlueprintList{Blueprints: []wire.Blueprint{build}})
	})
	mux.HandleFunc("GET /v1/blueprints/{name}", func(w http.ResponseWriter, r *http.Request) {
		if name := r.PathValue("name"); name != "build" && name != "build@1.0.0" {
			notFound(w, "blueprint "+name)
			return
		}
		write(w, http.StatusOK, build)
	})
	mux.HandleFunc("POST /v1/environments", s.create)
	mux.HandleFunc("GET /v1/environments", s.list)
	mux.HandleFunc("GET /v1/environments/{env}", s.on(func(w http.ResponseWriter, _ *http.Request, env *environment) {
		write(w, http.StatusOK, env.Environment)
	}))
	mux.HandleFunc("DELETE /v1/environments/{env}", s.on(s.release))
	mux.HandleFunc("POST /v1/environments/{env}/extend", s.on(s.extend))
	mux.HandleFunc("PUT /v1/environments/{env}/share", s.on(s.share))
	mux.HandleFunc("GET /v1/environments/{env}/watch", s.watch)
	mux.HandleFunc("GET /v1/environments/{env}/logs", s.on(s.logs))
	mux.HandleFunc("GET /v1/environments/{env}/exec", s.exec)
	mux.HandleFunc("PUT /v1/environments/{env}/files", s.put)
	mux.HandleFunc("GET /v1/environments/{env}/files", s.get)
	s.platformRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { notFound(w, r.Method+" "+r.URL.Path) })
	return mux
}

// on finds the environment of a request and holds the lock meanwhile.
func (s *Server) on(do func(http.ResponseWriter, *http.Request, *environment)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		env := s.find(r.PathValue("env"))
		if env == nil {
			notFound(w, "environment "+r.PathValue("env"))
			return
		}
		do(w, r, env)
	}
}

// refused answers with what Refuse was told, once.
func (s *Server) refused(w http.ResponseWriter, upload bool) bool {
	if s.refuse == nil || (s.refuse.Code == wire.CodeTooLarge && !upload) {
		return false
	}
	problem(w, *s.refuse)
	s.refuse = nil
	return true
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var req wire.CreateRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		problem(w, wire.Problem{Title: "Bad Request", Status: http.StatusBadRequest, Code: wire.CodeInvalid, Detail: err.Error()})
		return
	}
	if s.refused(w, false) {
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if id, ok := s.keys[key]; ok && key != "" {
		write(w, http.StatusOK, s.find(id).Environment)
		return
	}
	if env := s.find(req.Name); env != nil && env.State != "destroyed" {
		problem(w, wire.Problem{Title: "Conflict", Status: http.StatusConflict, Code: wire.CodeConflict, Detail: "The name " + req.Name + " is taken.", Hint: "bothy shell " + req.Name + ", or bothy down " + req.Name})
		return
	}
	env, err := s.make(req)
	if err != nil {
		problem(w, wire.Problem{Title: "Error", Status: http.StatusInternalServerError, Code: wire.CodeInternal, Detail: err.Error()})
		return
	}
	s.keys[key] = env.ID
	s.change(env, "environment.requested", "asked for by alice")
	if s.fate == "warm" && !req.NoPool {
		env.Pool, env.Claimed, env.Cold = "builders", true, ""
		env.hand()
		s.change(env, "lease.started", "a warm one was claimed")
		write(w, http.StatusCreated, env.Environment)
		return
	}
	if s.fate == "unanswered" {
		s.mu.Unlock()
		defer s.mu.Lock()
		s.hold(r)
		return
	}
	if s.cut {
		s.cut = false
		go s.provision(env, s.fate)
		panic(http.ErrAbortHandler)
	}
	write(w, http.StatusCreated, env.Environment)
	go s.provision(env, s.fate)
}

// provision takes an environment to its fate.
func (s *Server) provision(env *environment, fate string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.awaitSeen(env) {
		return
	}
	for rank := 2; fate == "queued" && rank > 0; rank-- {
		env.Queue = waiting(rank)
		s.change(env, "environment.waiting", "every host is full")
		if !s.awaitSeen(env) {
			return
		}
	}
	env.State, env.Queue = "provisioning", nil
	s.change(env, "create.progress", "docker_container.sandbox: creating")
	if fate != "stuck" && !s.awaitSeen(env) {
		return
	}
	switch fate {
	case "", "ready", "queued", "warm", "elsewhere":
		env.hand()
		if fate == "elsewhere" {
			env.Host, env.DaemonAddress = "rack2", "https://rack2.example:8443"
		}
		s.change(env, "lease.started", "handed over")
	case "stuck":
	default:
		env.State, env.Reason = "failed", fate
		env.Failure = &wire.Failure{Code: wire.CodeProvision, Sentence: fate, At: time.Now()}
		if strings.Contains(fate, "image") {
			env.Failure.Hint = "make setup"
		}
		s.change(env, "environment.failed", fate)
	}
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := wire.EnvironmentList{Environments: []wire.Environment{}}
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	for i := from; i < len(s.envs); i++ {
		// Pages of two, so that every list of three needs a second one.
		if len(list.Environments) == 2 {
			list.Next = strconv.Itoa(i)
			break
		}
		env := s.envs[i]
		mine := env.Owner == "alice" || r.URL.Query().Get("mine") != "true"
		if mine && (env.State != "destroyed" || r.URL.Query().Get("all") == "true") {
			list.Environments = append(list.Environments, env.Environment)
		}
	}
	write(w, http.StatusOK, list)
}

func (s *Server) release(w http.ResponseWriter, _ *http.Request, env *environment) {
	if p := s.refuseRelease; p != nil {
		s.refuseRelease = nil
		problem(w, *p)
		return
	}
	if s.refused(w, false) {
		return
	}
	if env.State == "destroying" || env.State == "destroyed" {
		write(w, http.StatusAccepted, env.Environment)
		return
	}
	env.State = "destroying"
	s.change(env, "environment.released", "given back by alice")
	write(w, http.StatusAccepted, env.Environment)
	if s.fate == "stuck" {
		return
	}
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.awaitSeen(env) {
			return
		}
		s.change(env, "resource.seen", "container bothy-web, id 77", `"v":1`, `"kind":"container"`, `"id":"77"`, `"name":"bothy-web"`)
		env.State, env.DestroyedAt = "destroyed", new(time.Now())
		s.change(env, "environment.destroyed", "nothing is left")
	}()
}

func (s *Server) extend(w http.ResponseWriter, r *http.Request, env *environment) {
	if s.refused(w, false) {
		return
	}
	var req wire.ExtendRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		problem(w, wire.Problem{Title: "Bad Request", Status: http.StatusBadRequest, Code: wire.CodeInvalid, Detail: err.Error()})
		return
	}
	env.Lease.LeftSeconds += req.BySeconds
	env.Lease.End = new(time.Now().Add(time.Duration(env.Lease.LeftSeconds) * time.Second))
	write(w, http.StatusOK, env.Environment)
}

func (s *Server) share(w http.ResponseWriter, r *http.Request, env *environment) {
	if s.refused(w, false) {
		return
	}
	var req wire.ShareRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		problem(w, wire.Problem{Title: "Bad Request", Status: http.StatusBadRequest, Code: wire.CodeInvalid, Detail: err.Error()})
		return
	}
	env.Share = req.With
	write(w, http.StatusOK, env.Environment)
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	var seen int64 = -1
	for {
		s.mu.Lock()
		env, changed := s.find(r.PathValue("env")), s.changed
		if env == nil {
			s.mu.Unlock()
			notFound(w, "environment "+r.PathValue("env"))
			return
		}
		u := wire.Update{Environment: env.Environment}
		for _, e := range env.events {
			if e.Seq > after {
				u.Events = append(u.Events, e)
				after = e.Seq
			}
		}
		s.mu.Unlock()
		if u.Environment.Revision != seen {
			seen = u.Environment.Revision
			if json.NewEncoder(w).Encode(u) != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			s.mu.Lock()
			env.seen = max(env.seen, seen)
			s.wake()
			s.mu.Unlock()
		}
		if u.Environment.State == "destroyed" {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// logs is called with the lock and gives it up while it follows.
func (s *Server) logs(w http.ResponseWriter, r *http.Request, env *environment) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	since, _ := time.Parse(time.RFC3339Nano, r.URL.Query().Get("since"))
	for sent := 0; ; {
		for _, l := range env.logs[sent:] {
			if !l.At.Before(since) {
				_ = json.NewEncoder(w).Encode(l)
			}
		}
		_ = http.NewResponseController(w).Flush()
		sent = len(env.logs)
		if env.State == "destroyed" || r.URL.Query().Get("follow") != "true" {
			return
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
			s.mu.Lock()
		case <-r.Context().Done():
			s.mu.Lock()
			return
		}
	}
}

func (s *Server) doctor(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := wire.Health{Ready: true, Checks: s.checks}
	for _, c := range s.checks {
		h.Ready = h.Ready && c.Status != "failed"
	}
	status := http.StatusOK
	if !h.Ready {
		status = http.StatusServiceUnavailable
	}
	write(w, status, h)
}
