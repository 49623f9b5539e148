package docker

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
)

var (
	_ provisioner.Keeper = (*Runtime)(nil)
	_ provisioner.Keeper = Etcs("")
)

// etcUnused is how long an image's /etc is kept that no sandbox is made from. It is read from the image again when one is.
var etcUnused = 24 * time.Hour

// sweepEtcs removes the folders of environments that have no container any more.
func (r *Runtime) sweepEtcs(ctx context.Context) error {
	if r.etcs.dir == "" {
		return nil
	}
	const op = "sweep folders"
	parts, err := filepath.Glob(filepath.Join(r.etcs.dir, "part-*"))
	if err == nil {
		err = r.etcs.sweepImages()
	}
	if err != nil {
		return r.fail(ctx, op, err)
	}
	for _, part := range parts { // of a copy that was cut off
		if info, err := os.Lstat(part); err == nil && time.Since(madeAt(info)) >= etcLeft {
			if err := os.RemoveAll(part); err != nil {
				return r.fail(ctx, op, err)
			}
		}
	}
	live := filepath.Join(r.etcs.dir, "live")
	all, err := os.ReadDir(live)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(all) == 0 {
		return nil
	}
	if err != nil {
		return r.fail(ctx, op, err)
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	there, err := r.api.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", provisioner.LabelInstance+"="+r.instance))})
	if err != nil {
		return r.fail(ctx, op, err)
	}
	has := map[string]bool{}
	for _, c := range there {
		has[c.Labels[provisioner.LabelEnvironment]] = true
	}
	var errs []error
	for _, d := range all {
		environment, _, _ := strings.Cut(d.Name(), ".")
		info, err := d.Info()
		if err != nil || has[environment] || time.Since(madeAt(info)) < etcLeft {
			continue // gone meanwhile, in use, or of a create under way
		}
		errs = append(errs, os.RemoveAll(filepath.Join(live, d.Name())))
	}
	return errors.Join(errs...)
}

// madeAt is when a folder was last changed or moved.
func madeAt(info fs.FileInfo) time.Time {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(sys.Ctim.Unix())
	}
	return info.ModTime()
}

// sweepImages removes what is kept of images that no sandbox was made from for a while.
func (e *etcs) sweepImages() error {
	e.extracting.Lock()
	defer e.extracting.Unlock()
	e.filling.Lock()
	defer e.filling.Unlock()
	images, err := os.ReadDir(filepath.Join(e.dir, "images"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range images {
		info, err := d.Info()
		if err != nil || time.Since(usedAt(info)) < etcUnused {
			continue
		}
		image := strings.TrimSuffix(d.Name(), ".part")
		for n := range spareEtcs {
			if err := os.RemoveAll(e.spare(image, n)); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(filepath.Join(e.dir, "images", d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// use notes that a sandbox is made from an image's folder.
func use(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	return os.Chtimes(folder, time.Now(), info.ModTime())
}

// usedAt is when use was called for a folder last, or it was read.
func usedAt(info fs.FileInfo) time.Time {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(sys.Atim.Unix())
	}
	return info.ModTime()
}

// Kept implements provisioner.Keeper: the environments that have a folder as their /etc here.
func (r *Runtime) Kept(ctx context.Context) ([]string, error) {
	if r.etcs.dir == "" {
		return nil, nil
	}
	return Etcs(r.etcs.dir).Kept(ctx)
}

// Discard implements provisioner.Keeper.
func (r *Runtime) Discard(ctx context.Context, environment string) error {
	if r.etcs.dir == "" {
		return nil
	}
	return Etcs(r.etcs.dir).Discard(ctx, environment)
}

// Etcs is a Config.Etcs, also of a host whose engine is not reached any more.
type Etcs string

// Kept lists the environments that have a folder as their /etc.
func (e Etcs) Kept(context.Context) ([]string, error) {
	all, err := os.ReadDir(filepath.Join(string(e), "live"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, etcFault(err)
	}
	var environments []string
	for _, d := range all {
		environment, _, _ := strings.Cut(d.Name(), ".")
		environments = append(environments, environment)
	}
	return environments, nil
}

// Discard removes the folders of an environment that no process of this machine has mounted, nor is about to: young ones stay.
func (e Etcs) Discard(_ context.Context, environment string) error {
	live := filepath.Join(string(e), "live")
	all, err := os.ReadDir(live)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return etcFault(err)
	}
	var errs []error
	for _, d := range all {
		if of, _, _ := strings.Cut(d.Name(), "."); of != environment {
			continue
		}
		info, err := d.Info()
		if err != nil || time.Since(madeAt(info)) < etcLeft {
			continue
		}
		mounted, err := mountedAnywhere(d.Name())
		if err == nil && !mounted {
			err = os.RemoveAll(filepath.Join(live, d.Name()))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return etcFault(err)
	}
	return nil
}

func etcFault(err error) error {
	return &provisioner.Error{Class: provisioner.Transient, Op: "sweep folders", Sentence: err.Error(), Err: err}
}

// mountedAnywhere reports whether a process of this machine has a folder mounted, whose name nothing else has. A process whose mounts may
// not be read is an error: it may be one that has.
func mountedAnywhere(name string) (bool, error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return false, err
	}
	seen := map[string]bool{} // mount namespaces
	for _, dir := range processes {
		namespace, err := os.Readlink(filepath.Join(dir, "ns", "mnt"))
		if err != nil && !hasMounts(dir) || err == nil && seen[namespace] {
			continue
		}
		if err != nil {
			return false, err
		}
		seen[namespace] = true
		has, err := mountsOf(dir, name)
		if has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// hasMounts reports whether a process may have a sandbox's mounts: not the machine's first, nor one that has ended.
func hasMounts(process string) bool {
	if filepath.Base(process) == "1" {
		return false
	}
	stat, err := os.ReadFile(filepath.Join(process, "stat"))
	if err != nil {
		return unlessGone(err) != nil
	}
	_, state, _ := strings.Cut(string(stat[max(strings.LastIndexByte(string(stat), ')'), 0):]), " ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func mountsOf(process, name string) (bool, error) {
	f, err := os.Open(filepath.Join(process, "mountinfo"))
	if err != nil {
		return false, unlessGone(err)
	}
	defer closeQuietly(f)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "/"+name) {
			return true, nil
		}
	}
	return false, unlessGone(lines.Err())
}

// unlessGone is an error about a process that has not ended meanwhile.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
