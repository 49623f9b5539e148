// Package etcdir gives each sandbox an /etc of its own, so that the engine reads the image's account files and not the sandbox's.
package etcdir

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// Before each command that it starts, by number too, the engine itself reads /etc/passwd and /etc/group where the
// container's root file system is on the host, with no bound: a sparse /etc/group of some gigabytes, which costs a
// sandbox nothing, takes several times as much of the engine's memory. So every sandbox has an /etc of its own in front of
// that: the engine reads the image's files, and the sandbox cannot move a mount away.
//
// Where bothyd is root on the engine's machine, an /etc is a folder that was copied ahead and costs a create nothing; it is mounted
// as it is, since a volume over it costs two writes of the engine's. Elsewhere it is a volume without a name, which the engine
// fills from the image: that takes some 150 ms.

const (
	// mostEtc bounds an image's /etc, in bytes and in entries; one that is larger is left to the engine.
	mostEtc, mostEtcEntries = 64 << 20, 20_000
	// spareEtcs are how many copies of an image's wait for their use.
	spareEtcs = 4
)

// leftAfter is the age from which a folder of no container's was left behind. Younger ones may be of a create under way.
const leftAfter = 2 * time.Minute

// Images reads files of an image: read is called with a container that was created from it and never started.
type Images interface {
	WithReader(ctx context.Context, op, image string, read func(ctx context.Context, id string) error) error
}

// Store makes sandboxes' /etc. It is safe for use by many goroutines. Close it when done.
type Store struct {
	engine *engine.Client
	images Images
	// remaps reports whether the engine gives containers other users than the machine's.
	remaps func() bool
	etcs   folders
	// LeftAfter is the age from which a folder of no container's was left behind, UnusedAfter how long an image's /etc is kept
	// that no sandbox is made from. It is read from the image again when one is.
	LeftAfter, UnusedAfter time.Duration
}

// New returns a Store. dir is its folder; "" for the engine's own volumes.
func New(e *engine.Client, images Images, remaps func() bool, dir string) *Store {
	return &Store{engine: e, images: images, remaps: remaps, etcs: folders{dir: dir}, LeftAfter: leftAfter, UnusedAfter: 24 * time.Hour}
}

// Close waits for what is under way, and begins nothing more.
func (s *Store) Close() { s.etcs.close() }

// Wait waits for the copies and removals that are under way.
func (s *Store) Wait() { s.etcs.work.Wait() }

// Volume is the mount (HostConfig.Mounts) of a sandbox's own /etc as a volume without a name.
func Volume(labels map[string]string) mount.Mount {
	return mount.Mount{Type: mount.TypeVolume, Target: sandbox.EtcTarget, VolumeOptions: &mount.VolumeOptions{Labels: maps.Clone(labels)}}
}

// folders are the folders that become sandboxes' /etc: "images/ID" as an image has it, "spare/ID.N" copies that wait for their use,
// "live/ENVIRONMENT.RANDOM" those in use.
type folders struct {
	dir string // "" where the engine's volumes must do

	// extracting is held by whoever reads an image, filling by whoever copies ahead.
	extracting, filling sync.Mutex
	mu                  sync.Mutex
	work                sync.WaitGroup
	closed              bool
}

// Mount returns the mount of a new sandbox's own /etc.
func (s *Store) Mount(ctx context.Context, image string, labels map[string]string) (mount.Mount, error) {
	m := Volume(labels)
	environment := labels[provisioner.LabelEnvironment]
	id, isImage := strings.CutPrefix(image, "sha256:")
	if s.etcs.dir == "" || s.remaps() || environment == "" || !isImage || !engine.IsID(id) {
		return m, nil
	}
	at, err := s.take(ctx, id, environment)
	if err != nil {
		return m, err
	}
	if at != "" {
		return mount.Mount{Type: mount.TypeBind, Source: at, Target: sandbox.EtcTarget, BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate}}, nil
	}
	return m, nil
}

// take returns a folder for an environment; "" when the image's /etc is not one for folders.
func (s *Store) take(ctx context.Context, image, environment string) (string, error) {
	const op = "make a sandbox's /etc"
	fault := func(err error) error {
		return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: err.Error(), Err: err}
	}
	e := &s.etcs
	for _, dir := range []string{"images", "spare", "live"} {
		if err := os.MkdirAll(filepath.Join(e.dir, dir), 0o700); err != nil {
			return "", fault(err)
		}
	}
	at, source := filepath.Join(e.dir, "live", environment+"."+rand.Text()), filepath.Join(e.dir, "images", image)
	if fits, err := s.haveImage(ctx, image, source); err != nil || !fits {
		return "", err
	}
	defer s.copyAhead(image)
	for n := range spareEtcs {
		err := os.Rename(e.spare(image, n), at)
		if err == nil {
			return at, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fault(err)
		}
	}
	if err := copyEtc(source, at); err != nil {
		return "", fault(err)
	}
	return at, nil
}

func (e *folders) spare(image string, n int) string {
	return filepath.Join(e.dir, "spare", image+"."+strconv.Itoa(n))
}

// haveImage makes sure that an image's /etc is there to be copied. It says no when it is too large.
func (s *Store) haveImage(ctx context.Context, image, source string) (fits bool, err error) {
	s.etcs.extracting.Lock()
	defer s.etcs.extracting.Unlock()
	if err := use(source); !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	if fits, err = s.extractEtc(ctx, image, source); err == nil && fits {
		err = use(source)
	}
	return fits, err
}

// copyAhead makes the copies that are missing, in the background.
func (s *Store) copyAhead(image string) {
	e := &s.etcs
	e.background(func() {
		e.filling.Lock()
		defer e.filling.Unlock()
		for n := range spareEtcs {
			if _, err := os.Lstat(e.spare(image, n)); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := copyEtc(filepath.Join(e.dir, "images", image), e.spare(image, n)); err != nil {
				s.engine.Log.Warn("a spare /etc could not be made", "error", err)
				return
			}
		}
	})
}

// extractEtc copies an image's /etc out of a container that is made from it and never started. It says no when it is too large.
func (s *Store) extractEtc(ctx context.Context, image, to string) (fits bool, err error) {
	const op = "read an image's /etc"
	part := to + ".part"
	err = s.images.WithReader(ctx, op, "sha256:"+image, func(ctx context.Context, id string) error {
		body, _, err := s.engine.API.CopyFromContainer(ctx, id, sandbox.EtcTarget)
		if err != nil {
			return err
		}
		defer engine.CloseQuietly(body)
		if err := os.RemoveAll(part); err != nil {
			return err
		}
		fits, err = unpackEtc(body, part)
		return err
	})
	if err == nil && fits {
		err = os.Rename(part, to)
	}
	if err != nil || !fits {
		err = errors.Join(err, os.RemoveAll(part))
	}
	return fits, engine.During(op, s.engine.Fail(ctx, op, err))
}

// Drop removes, in the background, the folder among the mounts that a container had. What stays is removed by a later sweep.
func (s *Store) Drop(mounts []mount.Mount) {
	e := &s.etcs
	if e.dir == "" {
		return
	}
	for _, m := range mounts {
		at := m.Source
		if m.Type != mount.TypeBind || m.Target != sandbox.EtcTarget || filepath.Dir(at) != filepath.Join(e.dir, "live") {
			continue
		}
		e.background(func() {
			if err := os.RemoveAll(at); err != nil {
				s.engine.Log.Warn("removing a sandbox's /etc failed; it is tried again", "error", err)
			}
		})
	}
}

// background does what nobody waits for but close, when processors have nothing else to do.
func (e *folders) background(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.work.Go(func() {
			yieldThread()
			do()
		})
	}
}

// close waits for what is under way, and begins nothing more.
func (e *folders) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.work.Wait()
}
