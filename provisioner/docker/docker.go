// Package docker is the Runtime over a Docker engine, and the keeper of the
// isolated networks that sandboxes run on. It alone imports the Docker SDK.
//
// Nothing a user wrote is passed through to the engine: every request is built
// from typed fields here. What a sandbox answers (output, tar streams, labels
// of foreign resources) is never trusted.
//
// Each room is a folder of its own, and knows the others by interfaces only; this package wires them:
//
//	exec       runs commands: streams, signals, stages that wait for a claim, commands whose callers left
//	cp         copies files in and out (tarstream checks the streams)
//	logs       reads logs
//	network    makes isolated networks ahead (firewall has the rules)
//	ports      dials and listens inside
//	limits     weights, bounds of processes and sockets, room for bothy's own commands
//	usage      measures processors, memory, disk, traffic, pressure
//	inventory  lists, watches, removes and kills; keeps marks
//	facts      what the engine can do, and what its machine runs short of
//	etcdir     an /etc for each sandbox
//	broker     the only door to the engine for blueprints
//
// The leaves below them, which every room may import: engine (the connection, errors, ownership), sandbox (state, pause, restart, settings),
// accounts (users of images), cgroup, hostproc (processes of this host), output (what tools print), seccomp.
package docker

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/accounts"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
	"github.com/bothy-env/bothy/provisioner/docker/cp"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/etcdir"
	"github.com/bothy-env/bothy/provisioner/docker/exec"
	"github.com/bothy-env/bothy/provisioner/docker/facts"
	"github.com/bothy-env/bothy/provisioner/docker/inventory"
	"github.com/bothy-env/bothy/provisioner/docker/limits"
	"github.com/bothy-env/bothy/provisioner/docker/logs"
	"github.com/bothy-env/bothy/provisioner/docker/network"
	"github.com/bothy-env/bothy/provisioner/docker/ports"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
	"github.com/bothy-env/bothy/provisioner/docker/usage"
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
	Network network.Config
	// Sockets is the folder for the sockets of doors to the engine (see Runtime.Broker), of this process alone; what an
	// earlier process left there is removed. "" when no door is ever opened.
	Sockets string
	// Etcs is the folder for sandboxes' own /etc, of this installation's one daemon on this engine; see etcdir. It is used where
	// bothyd is root on the engine's machine. "" for the engine's own volumes.
	Etcs string
	// CallTimeout bounds every call that is not a stream; 0 means 30 s.
	CallTimeout time.Duration
	// Logger receives what cannot be returned to a caller; nil discards it.
	Logger *slog.Logger
}

// Runtime implements provisioner.Runtime and every capability of package provisioner. It is
// safe for use by many goroutines. Close it when done.
//
// Each embedded contract is served by one room as a whole; the methods of Runtime serve the others, by one room or several together.
type Runtime struct {
	provisioner.Inventory // inventory
	provisioner.Marker    // inventory
	provisioner.Killer    // inventory
	provisioner.Watcher   // inventory
	provisioner.Stager    // exec
	provisioner.Pauser    // sandbox
	provisioner.Restarter // sandbox
	provisioner.Meter     // usage
	provisioner.Gauge     // usage
	provisioner.Surveyor  // usage
	provisioner.Pressured // usage
	provisioner.Ports     // ports
	provisioner.Limiter   // limits
	provisioner.Keeper    // etcdir

	engine    *engine.Client
	sandboxes *sandbox.Sandboxes
	accounts  *accounts.Reader
	etcs      *etcdir.Store
	limits    *limits.Limiter
	commands  *exec.Runner
	copier    *cp.Copier
	logs      *logs.Reader
	net       *network.Keeper
	facts     *facts.Reporter
	broker    *broker.Broker
	stop      context.CancelFunc // of the work behind callers
}

var (
	_ provisioner.Runtime       = (*Runtime)(nil)
	_ provisioner.NetworkKeeper = (*Runtime)(nil)
)

// New makes a Runtime. It does not talk to the engine, which may be away (see
// Ready). A configuration that can never work gives class Permanent.
func New(cfg Config) (*Runtime, error) {
	e, err := engine.New(engine.Options{Host: cfg.Host, Instance: cfg.Instance, Key: cfg.Key, Timeout: cfg.CallTimeout, Log: cfg.Logger})
	if err != nil {
		return nil, err
	}
	bg, stop := context.WithCancel(context.Background())
	r, err := build(bg, e, cfg)
	if err != nil {
		stop()
		_ = e.Close() // nothing was opened yet
		return nil, err
	}
	r.stop = stop
	return r, nil
}

// build makes the rooms and wires them. What they do behind their callers ends with ctx.
func build(ctx context.Context, e *engine.Client, cfg Config) (*Runtime, error) {
	etcs := ""
	if e.Local && os.Geteuid() == 0 && cfg.Etcs != "" {
		etcs = cfg.Etcs
		if err := os.MkdirAll(etcs, 0o700); err != nil {
			return nil, &provisioner.Error{Class: provisioner.Permanent, Op: opConfigure, Sentence: err.Error(), Err: err}
		}
	}
	var net *network.Keeper
	r := &Runtime{engine: e, sandboxes: sandbox.New(e), accounts: accounts.New(e, etcs), logs: logs.New(e)}
	r.limits = limits.New(e, r.sandboxes, func(ctx context.Context, name string, args ...string) error { return net.Run(ctx, name, args...) })
	net, err := network.New(ctx, e, cfg.Network, r.limits.Parent)
	if err != nil {
		return nil, err
	}
	r.net = net
	r.etcs = etcdir.New(e, r.accounts, r.limits.Remaps, etcs)
	r.commands = exec.New(ctx, e, r.sandboxes, r.accounts, r.limits)
	r.copier = cp.New(e, r.commands)
	meter, reach := usage.New(ctx, e, r.sandboxes), ports.New(e)
	all := inventory.New(e, func(id string) {
		meter.Forget(id)
		reach.Forget(id)
		r.sandboxes.Forget(id)
	})
	r.facts = facts.New(e, r.limits, r.net, reach.Lacking)
	r.Inventory, r.Marker, r.Killer, r.Watcher = all, all, all, all
	r.Stager, r.Ports, r.Limiter, r.Keeper = r.commands, reach, r.limits, r.etcs
	r.Pauser, r.Restarter = r.sandboxes, r.sandboxes
	r.Meter, r.Gauge, r.Surveyor, r.Pressured = meter, meter, meter, meter
	r.broker, err = r.newBroker(cfg.Sockets)
	return r, err
}

const opConfigure = "configure Docker"

// ResolveImage returns the engine's own id ("sha256:...") of an image reference.
func (r *Runtime) ResolveImage(ctx context.Context, ref string) (string, error) {
	const op = "resolve image"
	cctx, cancel := r.engine.Call(ctx)
	defer cancel()
	img, err := r.engine.API.ImageInspect(cctx, ref)
	if err != nil {
		err = r.engine.Fail(ctx, op, err)
		if provisioner.Is(err, provisioner.NotFound) {
			return "", provisioner.Errorf(provisioner.NotFound, op, "the Docker engine has no image %s; make it with: make setup", ref)
		}
		return "", err
	}
	return img.ID, nil
}
