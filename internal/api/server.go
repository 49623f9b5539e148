package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
	"github.com/bothy-env/bothy/internal/auth"
)

// maxBody bounds a JSON body, in bytes.
const maxBody = 1 << 20

const healthPath = "/healthz"

// Config says where to listen and how much to take. Zero limits mean their defaults.
type Config struct {
	// Socket is the unix socket's path; empty for none. Its users are identified by the kernel.
	Socket string
	// SocketGroup is a group of this machine whose members may use the socket, too; empty for its owner alone.
	SocketGroup string
	// TCP is host:port to listen at with TLS; empty for none. All its users need a token.
	TCP, TLSCert, TLSKey, TokenFile string
	// AllowedHosts are names that requests over TCP may be addressed to, beside TCP's own
	// host (and, on loopback, localhost).
	AllowedHosts []string

	// People says who may do what; nil for one tenant and team that everybody is in.
	People *auth.Directory

	// Version is the version in /v1/version.
	Version string
	Logger  *slog.Logger

	// MaxUpload bounds one copy into an environment, in bytes (default 2 GiB).
	MaxUpload int64
	// MaxStreams bounds the watches, logs, execs and copies that one caller may have at once (default 64).
	MaxStreams int
	// HeaderTimeout bounds reading a request's head (default 10 s), RequestTimeout everything
	// of a request that does not stream (default 60 s), IdleTimeout the time between requests of a connection (default 2 min).
	HeaderTimeout, RequestTimeout, IdleTimeout time.Duration
	// StallTimeout bounds how long an upload may bring nothing (default 60 s), and is the time over which UploadRate, in bytes
	// a second (default 1024), is the least that it brings.
	StallTimeout time.Duration
	UploadRate   int64
	// Heartbeat is how often a long answer shows that it is alive, and how long one waits whose client does not (heartbeat.Default).
	Heartbeat heartbeat.Timing
	// SuspendFor is how long the command of a client that was suspended with Ctrl-Z is kept without it (wire.ExecSuspendFor).
	SuspendFor time.Duration
	// SocketEvery is how often the socket's file is looked at, and made again when it was removed (default 5 s).
	SocketEvery time.Duration
	// RecheckEvery is how often the callers of long answers are asked again for their access (default 3 s).
	RecheckEvery time.Duration
}

// errStopping is why streams end when the daemon stops.
var errStopping = errors.New("bothyd is stopping")

// Server is the API on its listeners. Make one with New; then Listen, Serve and, at the end, Shutdown.
type Server struct {
	cfg      Config
	services Services
	log      *slog.Logger
	router   chi.Router
	api      huma.API

	streams streams
	turns   *turns

	// stopping ends streams; killing ends what does not end by itself.
	stopping, killing context.Context
	stop              context.CancelCauseFunc
	kill              context.CancelFunc

	cert   *auth.Certificate
	tokens *auth.Tokens
	people *auth.Directory
	// members may use the socket beside its owner; nil for nobody.
	members *group
	doors   []*listener
}

// listener is one open way in.
type listener struct {
	net.Listener
	server *http.Server
}

// New checks the configuration (certificate and token file included) and builds the routes. It listens to nothing yet.
func New(cfg Config, services Services) (*Server, error) {
	if cfg.Socket == "" && cfg.TCP == "" {
		return nil, errors.New("cannot create API server: neither socket nor TCP is set")
	}
	s := &Server{cfg: cfg, services: services, log: cfg.Logger, people: cfg.People, turns: newTurns()}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.cfg.MaxUpload = cmp.Or(cfg.MaxUpload, 2<<30)
	s.cfg.HeaderTimeout = cmp.Or(cfg.HeaderTimeout, 10*time.Second)
	s.cfg.RequestTimeout = cmp.Or(cfg.RequestTimeout, time.Minute)
	s.cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 2*time.Minute)
	s.cfg.StallTimeout = cmp.Or(cfg.StallTimeout, time.Minute)
	s.cfg.UploadRate = cmp.Or(cfg.UploadRate, 1<<10)
	s.cfg.Heartbeat = cfg.Heartbeat.Or()
	s.cfg.SuspendFor = cmp.Or(cfg.SuspendFor, wire.ExecSuspendFor)
	s.cfg.SocketEvery = cmp.Or(cfg.SocketEvery, 5*time.Second)
	s.cfg.RecheckEvery = cmp.Or(cfg.RecheckEvery, 3*time.Second)
	s.streams.most = cmp.Or(cfg.MaxStreams, 64)
	var err error
	if s.members, err = groupNamed(cfg.SocketGroup); err != nil {
		return nil, fmt.Errorf("cannot create API server: %w", err)
	}
	if cfg.TCP != "" {
		if cfg.TLSCert == "" || cfg.TLSKey == "" || cfg.TokenFile == "" {
			return nil, errors.New("cannot create API server: TCP requires a TLS certificate, its key and a token file")
		}
		if s.cert, err = auth.OpenCertificate(cfg.TLSCert, cfg.TLSKey, s.log); err != nil {
			return nil, fmt.Errorf("cannot create API server: %w", err)
		}
		if s.tokens, err = auth.OpenTokens(cfg.TokenFile); err != nil {
			return nil, fmt.Errorf("cannot create API server: %w", errors.Unwrap(err))
		}
	}
	if s.people == nil {
		if s.people, err = auth.OpenDirectory(""); err != nil {
			return nil, fmt.Errorf("cannot create API server: %w", err)
		}
	}
	s.stopping, s.stop = context.WithCancelCause(context.Background())
	s.killing, s.kill = context.WithCancel(context.Background())
	s.router, s.api = s.routes()
	return s, nil
}

// Listen opens the listeners. After it, requests are taken; they are answered once Serve runs.
func (s *Server) Listen() error {
	if s.cfg.Socket != "" {
		ln, err := listenUnix(s.cfg.Socket, s.members, s.cfg.SocketEvery, s.log)
		if err != nil {
			return err
		}
		s.open(ln, &door{server: s, identify: identifyPeer}, withPeer)
	}
	if s.cfg.TCP != "" {
		ln, err := net.Listen("tcp", s.cfg.TCP)
		if err != nil {
			return errors.Join(fmt.Errorf("cannot listen on TCP: %w", err), s.closeListeners())
		}
		s.open(tls.NewListener(ln, s.cert.Config()), &door{server: s, identify: s.identifyToken, hosts: s.hosts()}, nil)
	}
	return nil
}

// Addr gives the TCP listener's address once Listen has succeeded; nil when there is none.
func (s *Server) Addr() net.Addr {
	for _, d := range s.doors {
		if a, ok := d.Addr().(*net.TCPAddr); ok {
			return a
		}
	}
	return nil
}

func (s *Server) open(ln net.Listener, d *door, connContext func(context.Context, net.Conn) context.Context) {
	s.doors = append(s.doors, &listener{ln, &http.Server{
		Handler:           d,
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		// Streams lift these two for themselves. Beyond the request's own time there is some to say that it was over.
		ReadTimeout:    s.cfg.RequestTimeout + s.cfg.HeaderTimeout,
		WriteTimeout:   s.cfg.RequestTimeout + s.cfg.HeaderTimeout,
		IdleTimeout:    s.cfg.IdleTimeout,
		MaxHeaderBytes: 64 << 10,
		ConnContext:    connContext,
		BaseContext:    func(net.Listener) context.Context { return s.killing },
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}})
}

// hosts are the names that requests over TCP may be addressed to.
func (s *Server) hosts() map[string]bool {
	hosts := map[string]bool{}
	for _, h := range s.cfg.AllowedHosts {
		hosts[hostname(h)] = true
	}
	own := hostname(s.cfg.TCP)
	if ip := net.ParseIP(own); own == "localhost" || (ip != nil && ip.IsLoopback()) {
		for _, h := range []string{"localhost", "127.0.0.1", "::1"} {
			hosts[h] = true
		}
	} else if own != "" && !(ip != nil && ip.IsUnspecified()) {
		hosts[own] = true
	}
	return hosts
}

// Serve answers until Shutdown, a listener's failure, or the end of ctx (which
// ends everything at once). It calls Listen when that has not been done, and returns nil after Shutdown.
func (s *Server) Serve(ctx context.Context) error {
	if len(s.doors) == 0 {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	unhook := context.AfterFunc(ctx, func() {
		s.stop(errStopping)
		s.kill()
		for _, d := range s.doors {
			_ = d.server.Close() // The listeners' own errors come out of Serve.
		}
	})
	defer unhook()
	failures := make(chan error, len(s.doors))
	var serving sync.WaitGroup
	for _, d := range s.doors {
		s.log.Info("listening", "address", d.Addr().String())
		serving.Go(func() {
			if err := d.server.Serve(d.Listener); !errors.Is(err, http.ErrServerClosed) {
				failures <- fmt.Errorf("serve API at %s: %w", d.Addr(), err)
				s.kill()
				s.stop(err)
				_ = s.closeListeners()
			}
		})
	}
	serving.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return ctx.Err()
	}
}

// Shutdown stops taking requests, ends streams with a word of why, and waits
// for requests under way until ctx ends; then it cuts them off and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop(errStopping)
	var errs []error
	var closing sync.WaitGroup
	var mu sync.Mutex
	for _, d := range s.doors {
		closing.Go(func() {
			err := d.server.Shutdown(ctx)
			if err != nil {
				err = errors.Join(err, d.server.Close())
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	closing.Wait()
	if err := s.closeListeners(); err != nil && !errors.Is(err, net.ErrClosed) {
		errs = append(errs, err)
	}
	// Execs have taken their connections out of the HTTP server's hands.
	if err := s.streams.wait(ctx); err != nil {
		errs = append(errs, err)
	}
	s.kill()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("shut down API: %w", err)
	}
	return nil
}

func (s *Server) closeListeners() error {
	var errs []error
	for _, d := range s.doors {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
