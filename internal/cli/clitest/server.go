// Package clitest is a daemon for tests of the command line: it speaks the wire API over a unix socket, keeps its
// environments in memory, goes on only when somebody watches, and runs their commands as processes of this machine, each environment's workspace being a
// folder of the test. It decides nothing that a real daemon decides; what happens to a request is said by the test.
package clitest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// Server is the daemon.
type Server struct {
	// Socket is its unix socket.
	Socket string

	root   string
	http   *http.Server
	closed chan struct{}

	mu      sync.Mutex
	changed chan struct{}
	envs    []*environment
	keys    map[string]string
	seq     int64
	refuse  *wire.Problem
	// refuseRelease is the answer to the next deletion.
	refuseRelease *wire.Problem
	torn          *wire.Problem
	noted         []wire.CopyNote
	limit         int64
	fate          string
	cut           bool
	holdPut       bool
	noShell       bool
	checks        []wire.Check
	execs         []*command
	set           platform
	because       string
}

type environment struct {
	wire.Environment
	events []wire.Event
	logs   []wire.LogLine
	dir    string
	// seen is the last revision that somebody who watches was told.
	seen int64
}

// Start runs a daemon whose environments live below root, an existing folder of the test.
func Start(root string) (*Server, error) {
	// Not below root: that may be too deep for a socket's path.
	dir, err := os.MkdirTemp("", "bothy-t")
	if err != nil {
		return nil, fmt.Errorf("make folder for socket: %w", err)
	}
	s := &Server{
		Socket: filepath.Join(dir, "s"), root: root, closed: make(chan struct{}), changed: make(chan struct{}), keys: map[string]string{}, set: newPlatform(),
		checks: []wire.Check{{Name: "engine", Status: "ok", Message: "Docker answers"}},
	}
	listener, err := net.Listen("unix", s.Socket)
	if err == nil {
		err = os.Chmod(s.Socket, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.http = &http.Server{Handler: s.noting(s.routes()), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // ends by Close
	return s, nil
}

// Close stops the daemon and takes its socket away. More calls do nothing.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return
	default:
	}
	close(s.closed)
	_ = s.http.Close()
	_ = os.RemoveAll(filepath.Dir(s.Socket))
}

// Refuse answers the next create, extend, release or upload with a problem; one of code too_large is kept for an upload.
func (s *Server) Refuse(p wire.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = &p
}

// RefuseRelease refuses the next deletion of an environment.
func (s *Server) RefuseRelease(p wire.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseRelease = &p
}

// Fate says what becomes of the environments that are asked for from now on: "" or "ready", "warm" (taken from a pool),
// "queued" (after a wait for capacity), "elsewhere" (on a host that another daemon serves), "stuck" (until Finish), "unanswered"
// (recorded, and the request is left waiting), or a sentence that they fail with; quotes may be "refused", too.
func (s *Server) Fate(fate string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fate = fate
}

// CutNext ends the connection of the next create after it was recorded: the answer is lost.
func (s *Server) CutNext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
}

// HoldUploads takes uploads from now on and never answers them.
func (s *Server) HoldUploads() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdPut = true
}

// hold waits until the client has gone, or the daemon.
func (s *Server) hold(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
}

// LimitCopies says that no copy into an environment may have more bytes.
func (s *Server) LimitCopies(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = bytes
}

func (s *Server) copyLimit() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}

// NoShell takes sh out of every environment.
func (s *Server) NoShell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noShell = true
}

// Check adds a finding to doctor's.
func (s *Server) Check(c wire.Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, c)
}

// Add puts an environment there, as if it had been asked for. State is any state; "warning" means leased with under 10 % left,
// "queued" pending for want of capacity.
func (s *Server) Add(name, state string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	env, err := s.make(wire.CreateRequest{Name: name})
	if err != nil {
		return err
	}
	env.State = state
	env.Lease.LeftSeconds = 3540
	if state == "warning" {
		env.State, env.Lease.LeftSeconds, env.Lease.Warning = "leased", 42, true
	}
	if env.State == "leased" {
		env.hand()
	}
	if state == "queued" {
		env.State, env.Queue = "pending", waiting(2)
	}
	if state == "destroyed" {
		env.DestroyedAt = new(time.Now())
	}
	return nil
}

// Give makes an environment another user's, shared with nobody.
func (s *Server) Give(name, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := s.find(name)
	if env == nil {
		return fmt.Errorf("give environment: there is no %s", name)
	}
	env.Owner, env.Share, env.MayUse = owner, "nobody", false
	return nil
}

// Because is why the last request used the platform role; "" when it did not.
func (s *Server) Because() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.because
}

// noting notes why a request uses the platform role.
func (s *Server) noting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.because = r.Header.Get(wire.AsPlatform)
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// Workspace is the folder of an environment's workspace; it exists.
func (s *Server) Workspace(name string) string { return filepath.Join(s.root, name, "workspace") }

// Finish hands over an environment that is stuck.
func (s *Server) Finish(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := s.find(name)
	if env == nil {
		return fmt.Errorf("finish environment: there is no %s", name)
	}
	env.hand()
	s.change(env, "lease.started", "handed over")
	return nil
}

// Watched reports whether somebody has watched the environment, which exists by then.
func (s *Server) Watched(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := s.find(name)
	return env != nil && env.seen > 0
}

func (e *environment) hand() {
	e.State, e.ReadyAt = "leased", new(time.Now())
	e.Lease.Start, e.Lease.End = e.ReadyAt, new(time.Now().Add(time.Duration(e.Lease.LeftSeconds)*time.Second))
}

// find gives an environment by "id:ID", else a live one by name, else the latest gone one, else one by id: as daemons of older
// versions do, so that a client that has an id is seen to send it as one.
func (s *Server) find(name string) *environment {
	id, only := strings.CutPrefix(name, wire.ByID)
	var live, gone, byID *environment
	for _, env := range s.envs {
		switch {
		case env.ID == id:
			byID = env
		case env.Name != name || only:
		case env.State != "destroyed":
			live = env
		default:
			gone = env
		}
	}
	return cmp.Or(live, gone, byID)
}

// awaitSeen waits until the environment as it is now was told to somebody who watches, so that no state is passed over
// unseen. It gives up the lock meanwhile, and reports false when the daemon stopped.
func (s *Server) awaitSeen(env *environment) bool {
	for env.seen < env.Revision {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
			s.mu.Lock()
		case <-s.closed:
			s.mu.Lock()
			return false
		}
	}
	return true
}

// wake wakes all who wait for a change.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// change records an event, with fields of its data as JSON has them, and wakes who watches.
func (s *Server) change(env *environment, kind, message string, data ...string) {
	s.seq++
	env.Revision++
	e := wire.Event{Seq: s.seq, At: time.Now(), Environment: env.ID, Kind: kind, Message: message}
	if len(data) > 0 {
		if err := json.Unmarshal([]byte("{"+strings.Join(data, ",")+"}"), &e.Data); err != nil {
			panic(err) // it is written in this package
		}
	}
	env.events = append(env.events, e)
	env.logs = append(env.logs, wire.LogLine{At: time.Now(), Source: "bothy", Text: message})
	s.wake()
}

// cold is why no warm one is taken, unless the fate is another.
const cold = "no pool keeps build@1.0.0 small"

// sizeNamed is the first size for a name that is none.
func sizeNamed(name string) wire.Size {
	return sizes[max(0, slices.IndexFunc(sizes, func(z wire.Size) bool { return z.Name == name }))]
}

// waiting is a place in the queue; each takes a minute.
func waiting(rank int) *wire.Queue {
	return &wire.Queue{Rank: rank, Estimate: new(time.Now().Add(time.Duration(rank) * time.Minute))}
}

// make adds a pending environment.
func (s *Server) make(r wire.CreateRequest) (*environment, error) {
	if r.Name == "" {
		r.Name = "brave-heron"
	}
	s.seq++
	id := "e" + strconv.FormatInt(s.seq, 10)
	size := sizeNamed(r.Size)
	left := int64(3600)
	if r.TTLSeconds != nil {
		left = *r.TTLSeconds
	}
	env := &environment{dir: filepath.Join(s.root, r.Name), Environment: wire.Environment{
		ID: id, Name: r.Name, Owner: "alice", Share: r.Share, MayUse: true, Project: r.Project, Inputs: r.Inputs, State: "pending", Size: size,
		Blueprint: wire.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:00"},
		Users:     []string{"dev", "root"}, Workspace: s.Workspace(r.Name),
		Lease: wire.Lease{TTLSeconds: left, MaxTTLSeconds: 28800, LeftSeconds: left},
		Cost:  wire.Cost{Currency: "USD", RateMicrosPerHour: size.RateMicrosPerHour, AccruedMicros: 1234, AtExpiryMicros: size.RateMicrosPerHour * left / 3600},
		Team:  r.Team, PullRequest: r.PullRequest, Vars: r.Vars, Cold: cold,
		CreatedAt: time.Now(),
	}}
	if r.NoPool {
		env.Cold = "a new one was asked for"
	}
	if r.IdleSeconds != nil {
		env.Lease.IdleSeconds = *r.IdleSeconds
	}
	if err := os.MkdirAll(env.Workspace, 0o755); err != nil {
		return nil, fmt.Errorf("make workspace: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Secrets)) {
		env.Secrets = append(env.Secrets, name)
		if err := os.WriteFile(filepath.Join(env.dir, name), r.Secrets[name], 0o600); err != nil {
			return nil, fmt.Errorf("write secret: %w", err)
		}
	}
	s.envs = append(s.envs, env)
	return env, nil
}

func write(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func problem(w http.ResponseWriter, p wire.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func notFound(w http.ResponseWriter, what string) {
	problem(w, wire.Problem{Title: "Not Found", Status: http.StatusNotFound, Code: wire.CodeNotFound, Detail: "There is no " + what + ".", Hint: "bothy ls"})
}
