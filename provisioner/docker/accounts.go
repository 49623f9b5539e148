package docker

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
)

// Before each command that it starts, by number too, the engine itself reads /etc/passwd and /etc/group where the
// container's root file system is on the host, with no bound: a sparse /etc/group of some gigabytes, which costs a
// sandbox nothing, takes several times as much of the engine's memory. So every sandbox has an /etc of its own in front of
// that: the engine reads the image's files, and the sandbox cannot move a mount away.
//
// Where bothyd is root on the engine's machine, an /etc is a folder that was copied ahead and costs a create nothing; it is mounted
// as it is, since a volume over it costs two writes of the engine's. Elsewhere it is a volume without a name, which the engine
// fills from the image: that takes some 150 ms.

// accountsTarget is what a sandbox has for itself.
const accountsTarget = "/etc"

const (
	// mostEtc bounds an image's /etc, in bytes and in entries; one that is larger is left to the engine.
	mostEtc, mostEtcEntries = 64 << 20, 20_000
	// spareEtcs are how many copies of an image's wait for their use.
	spareEtcs = 4
)

// etcLeft is the age from which a folder of no container's was left behind. Younger ones may be of a create under way.
var etcLeft = 2 * time.Minute

// Accounts is the mount (HostConfig.Mounts) of a sandbox's own /etc as a volume without a name.
func Accounts(labels map[string]string) mount.Mount {
	return mount.Mount{Type: mount.TypeVolume, Target: accountsTarget, VolumeOptions: &mount.VolumeOptions{Labels: maps.Clone(labels)}}
}

// etcs are the folders that become sandboxes' /etc: "images/ID" as an image has it, "spare/ID.N" copies that wait for their use,
// "live/ENVIRONMENT.RANDOM" those in use.
type etcs struct {
	dir string // "" where the engine's volumes must do

	// extracting is held by whoever reads an image, filling by whoever copies ahead.
	extracting, filling sync.Mutex
	mu                  sync.Mutex
	work                sync.WaitGroup
	closed              bool
}

// etc gives the mount of a new sandbox's own /etc.
func (r *Runtime) etc(ctx context.Context, image string, labels map[string]string) (mount.Mount, error) {
	m := Accounts(labels)
	environment := labels[provisioner.LabelEnvironment]
	id, isImage := strings.CutPrefix(image, "sha256:")
	if r.etcs.dir == "" || r.parent.remaps() || environment == "" || !isImage || !isID(id) {
		return m, nil
	}
	at, err := r.takeEtc(ctx, id, environment)
	if err != nil {
		return m, err
	}
	if at != "" {
		return mount.Mount{Type: mount.TypeBind, Source: at, Target: accountsTarget, BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate}}, nil
	}
	return m, nil
}

// takeEtc gives a folder for an environment; "" when the image's /etc is not one for folders.
func (r *Runtime) takeEtc(ctx context.Context, image, environment string) (string, error) {
	const op = "make a sandbox's /etc"
	fault := func(err error) error {
		return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: err.Error(), Err: err}
	}
	e := &r.etcs
	for _, dir := range []string{"images", "spare", "live"} {
		if err := os.MkdirAll(filepath.Join(e.dir, dir), 0o700); err != nil {
			return "", fault(err)
		}
	}
	at, source := filepath.Join(e.dir, "live", environment+"."+rand.Text()), filepath.Join(e.dir, "images", image)
	if fits, err := r.haveImage(ctx, image, source); err != nil || !fits {
		return "", err
	}
	defer r.copyAhead(image)
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

func (e *etcs) spare(image string, n int) string {
	return filepath.Join(e.dir, "spare", image+"."+strconv.Itoa(n))
}

// haveImage sees to it that an image's /etc is there to be copied. It says no when it is too large.
func (r *Runtime) haveImage(ctx context.Context, image, source string) (fits bool, err error) {
	r.etcs.extracting.Lock()
	defer r.etcs.extracting.Unlock()
	if err := use(source); !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	if fits, err = r.extractEtc(ctx, image, source); err == nil && fits {
		err = use(source)
	}
	return fits, err
}

// copyAhead makes the copies that are missing, in the background.
func (r *Runtime) copyAhead(image string) {
	e := &r.etcs
	e.background(func() {
		e.filling.Lock()
		defer e.filling.Unlock()
		for n := range spareEtcs {
			if _, err := os.Lstat(e.spare(image, n)); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := copyEtc(filepath.Join(e.dir, "images", image), e.spare(image, n)); err != nil {
				r.log.Warn("a spare /etc could not be made", "error", err)
				return
			}
		}
	})
}

// extractEtc copies an image's /etc out of a container that is made from it and never started. It says no when it is too large.
func (r *Runtime) extractEtc(ctx context.Context, image, to string) (fits bool, err error) {
	const op = "read an image's /etc"
	part := to + ".part"
	err = r.withReader(ctx, op, "sha256:"+image, func(ctx context.Context, id string) error {
		body, _, err := r.api.CopyFromContainer(ctx, id, accountsTarget)
		if err != nil {
			return err
		}
		defer closeQuietly(body)
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
	return fits, during(op, r.fail(ctx, op, err))
}

// unpackEtc writes a tar whose first entry is "etc/" as a folder. The engine made it of an image; all the same it is written
// through a root that nothing leaves.
func unpackEtc(body io.Reader, to string) (fits bool, err error) {
	if err := os.Mkdir(to, 0o755); err != nil { //nolint:gosec // as /etc is; the folder above is closed
		return false, err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return false, err
	}
	defer closeQuietly(root)
	archive, entries, size := tar.NewReader(body), 0, int64(0)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if entries, size = entries+1, size+head.Size; entries > mostEtcEntries || size > mostEtc {
			return false, nil
		}
		_, name, _ := strings.Cut(filepath.Clean(head.Name), "/")
		if name == "" {
			name = "."
		}
		if err := unpackOne(root, name, head, archive); err != nil {
			return false, fmt.Errorf("unpack %s: %w", head.Name, err)
		}
	}
}

func unpackOne(root *os.Root, name string, head *tar.Header, data io.Reader) error {
	mode := head.FileInfo().Mode()
	switch head.Typeflag {
	case tar.TypeDir:
		if name != "." {
			if err := root.Mkdir(name, 0o700); err != nil {
				return err
			}
		}
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, data)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeLink:
		_, target, _ := strings.Cut(filepath.Clean(head.Linkname), "/")
		return root.Link(target, name)
	case tar.TypeSymlink:
		if err := root.Symlink(head.Linkname, name); err != nil {
			return err
		}
		return root.Lchown(name, head.Uid, head.Gid)
	default:
		return nil // a device or pipe, which no image's /etc has
	}
	if err := root.Chown(name, head.Uid, head.Gid); err != nil {
		return err
	}
	if err := root.Chmod(name, mode.Perm()|mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	return root.Chtimes(name, head.ModTime, head.ModTime)
}

// copyEtc copies a folder that extractEtc made, all or nothing. Nobody else reaches either while it does.
func copyEtc(from, to string) error {
	part := filepath.Join(filepath.Dir(filepath.Dir(to)), "part-"+rand.Text())
	err := filepath.WalkDir(from, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return copyOne(at, filepath.Join(part, rel), info)
	})
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(part))
	}
	return err
}

// copyOne copies one entry, and of a folder nothing below it.
func copyOne(from, to string, info fs.FileInfo) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("copy %s: its owner is not known", from)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
	case mode.IsRegular():
		if err := copyFile(from, to); err != nil {
			return err
		}
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err == nil {
			err = os.Symlink(target, to)
		}
		if err != nil {
			return err
		}
		return os.Lchown(to, int(owner.Uid), int(owner.Gid))
	default:
		return nil // unpackEtc makes nothing else
	}
	if err := os.Chown(to, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(to, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer closeQuietly(in)
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// dropEtc removes, in the background, the folder among the mounts that a container had. What stays is removed by a later sweep.
func (r *Runtime) dropEtc(mounts []mount.Mount) {
	e := &r.etcs
	if e.dir == "" {
		return
	}
	for _, m := range mounts {
		at := m.Source
		if m.Type != mount.TypeBind || m.Target != accountsTarget || filepath.Dir(at) != filepath.Join(e.dir, "live") {
			continue
		}
		e.background(func() {
			if err := os.RemoveAll(at); err != nil {
				r.log.Warn("removing a sandbox's /etc failed; it is tried again", "error", err)
			}
		})
	}
}

// background does what nobody waits for but close, when processors have nothing else to do.
func (e *etcs) background(do func()) {
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
func (e *etcs) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.work.Wait()
}
