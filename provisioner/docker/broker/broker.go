// Package broker is the only door to a Docker engine that a blueprint ever has. A door is a unix socket of one environment,
// open while a piece of work on it is trusted. What comes in is a claim: a body is decoded strictly into typed values, judged,
// and the request to the engine is built anew from the environment's Spec and the few fields that a blueprint may choose, so
// nothing that was not understood reaches the engine, whatever its spelling. Lists, inspects and deletes see this
// environment's objects only. Each object is recorded before it is made, and again when the engine has answered.
package broker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

// Engine is what the broker needs of Docker's client.
type Engine interface {
	versions
	containers
	containerReader
	volumeKeeper
}

type versions interface {
	ClientVersion() string
	ServerVersion(ctx context.Context) (types.Version, error)
	ImageInspect(ctx context.Context, id string, opts ...client.ImageInspectOption) (image.InspectResponse, error)
}

type containers interface {
	ContainerCreate(ctx context.Context, config *container.Config, host *container.HostConfig,
		networking *network.NetworkingConfig, platform *ocispec.Platform, name string) (container.CreateResponse, error)
	ContainerStart(ctx context.Context, id string, opts container.StartOptions) error
	ContainerStop(ctx context.Context, id string, opts container.StopOptions) error
	ContainerRemove(ctx context.Context, id string, opts container.RemoveOptions) error
}

type containerReader interface {
	ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error)
	ContainerList(ctx context.Context, opts container.ListOptions) ([]container.Summary, error)
	ContainerWait(ctx context.Context, id string, condition container.WaitCondition) (<-chan container.WaitResponse, <-chan error)
}

type volumeKeeper interface {
	VolumeCreate(ctx context.Context, opts volume.CreateOptions) (volume.Volume, error)
	VolumeInspect(ctx context.Context, name string) (volume.Volume, error)
	VolumeRemove(ctx context.Context, name string, force bool) error
}

// Config is what a Broker is made of.
type Config struct {
	Engine Engine
	// Key verifies the labels of what is already there.
	Key provisioner.Key
	// Dir is the folder for the doors' sockets. It is made with mode 0700.
	Dir string
	// Additions returns what a container on a network is made with beside what its blueprint says; nil for nothing.
	Additions func(ctx context.Context, spec *provisioner.Spec, network string) (Additions, error)
	// Unused receives additions that no container was created with; may be nil.
	Unused func(Additions)
	// Started receives each container that was started, for what can be set only then; may be nil. Judge returns its error.
	Started func(ctx context.Context, id string) error
	// Removed receives each container that was removed, as it was before; may be nil.
	Removed func(c container.InspectResponse)
	// SecurityOpts and Ulimits are what every sandbox is to be made with.
	SecurityOpts []string
	Ulimits      []provisioner.Ulimit
	// Kernel returns the limits that the kernel holds a process's control groups to, where Local; nil for not to look.
	Kernel func(pid int) (cgroup.Limits, error)
	// Local says that the engine's processes can be seen in /proc.
	Local bool
	// Logger keeps the broker's own record, at level debug: what was asked for, by whom, and what came of it.
	Logger *slog.Logger
}

// Additions are what the broker adds to a create. A provider cannot express them, or must not: what it reads of its containers
// holds none of them, as its next plan would undo them.
type Additions struct {
	// CgroupParent is the control group that sandboxes live under; "" for the engine's own choice.
	CgroupParent string
	Binds        []string
	Mounts       []mount.Mount
	// Secrets is whom the folder for secrets belongs to, in options of a tmpfs: a blueprint can name a number alone, and the image
	// knows which. "" for whom the blueprint says.
	Secrets string
}

// Broker opens doors. It is safe for use by many goroutines.
type Broker struct {
	cfg Config

	mu sync.Mutex
	// unanswered counts creates that were passed on and not answered, by environment.
	unanswered map[string]int
	version    *types.Version
}

// New makes a Broker. It opens nothing.
func New(cfg Config) *Broker {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Broker{cfg: cfg, unanswered: map[string]int{}}
}

// Harden implements provisioner.Broker.
func (b *Broker) Harden(s *provisioner.Sandbox) {
	s.SecurityOpts, s.Ulimits = b.cfg.SecurityOpts, b.cfg.Ulimits
}

// Unanswered implements provisioner.Broker.
func (b *Broker) Unanswered(environment string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unanswered[environment]
}

func (b *Broker) count(environment string, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unanswered[environment] += by; b.unanswered[environment] == 0 {
		delete(b.unanswered, environment)
	}
}

// Exists implements provisioner.Broker.
func (b *Broker) Exists(ctx context.Context, o provisioner.Object) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var err error
	switch o.Kind {
	case kindContainer:
		_, err = b.cfg.Engine.ContainerInspect(ctx, o.ID)
	case kindVolume:
		_, err = b.cfg.Engine.VolumeInspect(ctx, o.Name)
	default:
		return false, fmt.Errorf("look for %s %s: no such kind", o.Kind, o.Name)
	}
	if statusOf(err) == 404 {
		return false, nil
	}
	return err == nil, err
}

// Open implements provisioner.Broker.
func (b *Broker) Open(ctx context.Context, grant provisioner.Grant) (provisioner.Door, error) {
	const op = "open a door to the engine"
	switch {
	case grant.Spec.Owner.Environment == "" || grant.Trusted == nil || grant.Intend == nil || grant.Answered == nil:
		return nil, provisioner.Errorf(provisioner.Permanent, op, "the grant is not complete")
	case !b.cfg.Key.Verify(grant.Spec.Labels):
		return nil, provisioner.Errorf(provisioner.Permanent, op, "the grant's labels are not this installation's")
	}
	l, err := b.listen()
	if err != nil {
		return nil, &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: err.Error(), Err: err}
	}
	return newDoor(ctx, b, grant, l), nil
}

// listen opens a socket whose name cannot be guessed: whoever knows the name has this environment's door and no other.
func (b *Broker) listen() (net.Listener, error) {
	if err := privateDir(b.cfg.Dir); err != nil {
		return nil, err
	}
	secret := make([]byte, 16)
	if _, err := io.ReadFull(rand.Reader, secret); err != nil {
		return nil, err
	}
	path := filepath.Join(b.cfg.Dir, hex.EncodeToString(secret))
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// privateDir makes a folder that only its owner may enter.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	// In a folder that all may write to, somebody else may have been first.
	if sys, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(sys.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a directory that belongs to this user", dir)
	}
	return os.Chmod(dir, 0o700)
}

// Sweep makes the folder for sockets, or removes those that an earlier process left. Call it once, before the first door is opened.
func (b *Broker) Sweep() error {
	if err := privateDir(b.cfg.Dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(b.cfg.Dir)
	for _, e := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(b.cfg.Dir, e.Name())))
	}
	return err
}

const (
	kindContainer = "container"
	kindVolume    = "volume"
)

// callTimeout bounds a call to the engine that makes nothing.
const callTimeout = 30 * time.Second
