// Package docker is the Runtime over a Docker engine, and the keeper of the
// isolated networks that sandboxes run on. It alone imports the Docker SDK.
//
// Nothing a user wrote is passed through to the engine: every request is built
// from typed fields here. What a sandbox answers (output, tar streams, labels
// of foreign resources) is never trusted.
package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
)

// Config says which engine to use and for which installation.
type Config struct {
	// Host is the engine's address: "unix:///path" or "tcp://host:port" ("" for
	// the engine's usual socket). A tcp engine's certificates are taken from
	// DOCKER_CERT_PATH, as the docker command does.
	Host string
	// Instance is the id of this bothy installation. Only resources that carry it are ever changed.
	Instance string
	// Key authenticates the owner labels.
	Key provisioner.Key
	// Network says how sandboxes' networks are made.
	Network NetworkConfig
	// Sockets is the folder for the sockets of doors to the engine (see Runtime.Broker), of this process alone; what an
	// earlier process left there is removed. "" when no door is ever opened.
	Sockets string
	// Etcs is the folder for sandboxes' own /etc, of this installation's one daemon on this engine; see accounts.go. It is used where
	// bothyd is root on the engine's machine. "" for the engine's own volumes.
	Etcs string
	// CallTimeout bounds every call that is not a stream; 0 means 30 s.
	CallTimeout time.Duration
	// Logger receives what cannot be returned to a caller; nil discards it.
	Logger *slog.Logger
}

// Runtime implements provisioner.Runtime and every capability of package provisioner. It is
// safe for use by many goroutines. Close it when done.
type Runtime struct {
	api      *client.Client
	host     string
	instance string
	key      provisioner.Key
	timeout  time.Duration
	log      *slog.Logger
	net      *keeper
	broker   *broker.Broker
	etcs     etcs
	parent   parent
	moves    sync.Map // sandbox id -> *bool: frozen, or thawed, just now; see freeze
	who      identities
	left     lingering
	begun    starts
	place    string // see readerLabel
	process  string
	raised   raised
	lifted   sync.Map  // the ids of sandboxes whose weight is raised now
	lowered  sync.Once // of lowerLeft
	sizes    sizes
	mains    mains

	able   sync.Mutex
	ableAt time.Time // when the engine was found able to do all
	can    Facts
}

var (
	_ provisioner.Runtime       = (*Runtime)(nil)
	_ provisioner.NetworkKeeper = (*Runtime)(nil)
)

// New makes a Runtime. It does not talk to the engine, which may be away (see
// Ready). A configuration that can never work gives class Permanent.
func New(cfg Config) (*Runtime, error) {
	const op = "configure Docker"
	if cfg.Instance == "" || len(cfg.Key) == 0 {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "the instance id and the label key must be set")
	}
	if cfg.Host == "" {
		cfg.Host = client.DefaultDockerHost
	}
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	at, err := client.ParseHostURL(cfg.Host)
	if err != nil {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "engine address %q: %w", cfg.Host, err)
	}
	opts := []client.Opt{client.WithAPIVersionNegotiation()}
	addr := at.Host
	switch at.Scheme {
	case "unix":
		addr += at.Path
		opts = append(opts, client.WithHost(cfg.Host))
	case "tcp":
		opts = append(opts, client.WithTLSClientConfigFromEnv(), client.WithHost(cfg.Host))
	default:
		return nil, provisioner.Errorf(provisioner.Permanent, op,
			"engine address %q: only unix:// and tcp:// are supported", cfg.Host)
	}
	opts = append(opts, client.WithDialContext(guardedDial(at.Scheme, addr)))
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "engine address %q: %w", cfg.Host, err)
	}
	r := &Runtime{
		api: api, host: cfg.Host, instance: cfg.Instance, key: cfg.Key,
		timeout: cfg.CallTimeout, log: cfg.Logger, process: rand.Text(),
	}
	if at.Scheme == "unix" && os.Geteuid() == 0 {
		r.etcs.dir = cfg.Etcs
	}
	if r.etcs.dir != "" {
		if err := os.MkdirAll(r.etcs.dir, 0o700); err != nil {
			return nil, errors.Join(&provisioner.Error{Class: provisioner.Permanent, Op: op, Sentence: err.Error(), Err: err}, api.Close())
		}
		r.place = folderPlace(r.etcs.dir)
	}
	r.net, err = newKeeper(r, cfg.Network, at.Scheme == "unix")
	if err == nil {
		r.broker, err = r.newBroker(cfg.Sockets, at.Scheme == "unix")
	}
	if err != nil {
		_ = api.Close() // nothing was opened yet
		return nil, err
	}
	return r, nil
}

// call gives the context of one call that is not a stream.
func (r *Runtime) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.timeout)
}

// Ready pings the engine and asks whether it can do what sandboxes need. The sentence says what to do.
func (r *Runtime) Ready(ctx context.Context) error {
	const op = "reach Docker"
	cctx, cancel := context.WithTimeout(ctx, min(r.timeout, 5*time.Second))
	defer cancel()
	_, err := r.api.Ping(cctx)
	switch {
	case err == nil:
		return r.capable(cctx)
	case ctx.Err() != nil:
		return r.fail(ctx, op, err)
	}
	say := "the Docker engine at " + r.host + " does not answer in time: look at its log, or restart it"
	switch {
	case isPermission(err):
		say = "no right to use the Docker socket " + r.host + ": run bothyd as root, or as a member of the group that owns the socket"
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || client.IsErrConnectionFailed(err):
		say = "no Docker engine is running at " + r.host + ": start it (systemctl start docker), or set engine.host"
	case !errors.Is(err, context.DeadlineExceeded):
		say = "the Docker engine at " + r.host + " answers with an error: " + plain(err)
	}
	return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: say, Unavailable: true, Err: err}
}

// ResolveImage gives the engine's own id ("sha256:...") of an image reference.
func (r *Runtime) ResolveImage(ctx context.Context, ref string) (string, error) {
	const op = "resolve image"
	cctx, cancel := r.call(ctx)
	defer cancel()
	img, err := r.api.ImageInspect(cctx, ref)
	if err != nil {
		err = r.fail(ctx, op, err)
		if provisioner.Is(err, provisioner.NotFound) {
			return "", provisioner.Errorf(provisioner.NotFound, op, "the Docker engine has no image %s; make it with: make setup", ref)
		}
		return "", err
	}
	return img.ID, nil
}

// Inspect reports on a sandbox.
func (r *Runtime) Inspect(ctx context.Context, id string) (provisioner.Status, error) {
	for {
		status, err := r.inspect(ctx, id)
		if err != nil || !status.Running && !status.Paused || !r.lags(ctx, id, status.Paused) {
			return status, err
		}
	}
}

func (r *Runtime) inspect(ctx context.Context, id string) (provisioner.Status, error) {
	const op = "inspect sandbox"
	if err := checkID(op, id); err != nil {
		return provisioner.Status{}, err
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	c, err := r.api.ContainerInspect(cctx, id)
	if err != nil {
		return provisioner.Status{}, r.fail(ctx, op, err)
	}
	if c.ContainerJSONBase == nil || c.State == nil {
		return provisioner.Status{}, provisioner.Errorf(provisioner.Transient, op, "the engine's answer has no state")
	}
	return statusOf(c.State), nil
}

// statusOf reads the engine's state. A paused or restarting container is
// "running" to Docker, yet no command can be run in it.
func statusOf(s *container.State) provisioner.Status {
	st := provisioner.Status{Running: s.Running && !s.Paused && !s.Restarting && !s.Dead, Paused: s.Paused, StartedAt: moment(s.StartedAt)}
	if s.Running {
		return st
	}
	st.ExitCode, st.Error, st.OutOfMemory, st.EndedAt = s.ExitCode, s.Error, s.OOMKilled, moment(s.FinishedAt)
	switch {
	case st.Error != "":
	case s.OOMKilled:
		st.Error = "it ran out of memory and was killed"
	case s.Dead:
		st.Error = "it is being removed"
	}
	return st
}

// moment reads the engine's time; its year 1 is none.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

type guardKey struct{}

// guard holds the connection of one upgrade request, which the SDK does not
// end with its context: a hung engine would hold the caller for ever.
type guard struct{ conns chan net.Conn }

// guardedDial dials the engine; a context that carries a guard gets its connection noted there.
func guardedDial(network, addr string) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, addr)
		if g, ok := ctx.Value(guardKey{}).(*guard); ok && err == nil {
			select {
			case g.conns <- conn:
			default: // a second connection of one call: not the one that is upgraded first
			}
		}
		return conn, err
	}
}

// abort closes the noted connection, if there is one.
func (g *guard) abort() {
	select {
	case c := <-g.conns:
		_ = c.Close() // only to wake whoever waits on it
	default:
	}
}

// plain takes the SDK's own preface off a message.
func plain(err error) string {
	msg := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	return strings.TrimSpace(strings.TrimSuffix(msg, ": unknown"))
}

// closeQuietly closes what was only read from.
func closeQuietly(c io.Closer) { _ = c.Close() }
