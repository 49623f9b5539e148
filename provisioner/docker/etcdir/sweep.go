package etcdir

import (
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
	_ provisioner.Keeper = (*Store)(nil)
	_ provisioner.Keeper = Left{}
)

// Sweep removes the folders of environments that have no container any more.
func (s *Store) Sweep(ctx context.Context) error {
	if s.etcs.dir == "" {
		return nil
	}
	const op = "sweep directories"
	parts, err := filepath.Glob(filepath.Join(s.etcs.dir, "part-*"))
	if err == nil {
		err = s.etcs.sweepImages(s.UnusedAfter)
	}
	if err != nil {
		return s.engine.Fail(ctx, op, err)
	}
	for _, part := range parts { // of a copy that was cut off
		if info, err := os.Lstat(part); err == nil && time.Since(madeAt(info)) >= s.LeftAfter {
			if err := os.RemoveAll(part); err != nil {
				return s.engine.Fail(ctx, op, err)
			}
		}
	}
	live := filepath.Join(s.etcs.dir, "live")
	all, err := os.ReadDir(live)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(all) == 0 {
		return nil
	}
	if err != nil {
		return s.engine.Fail(ctx, op, err)
	}
	cctx, cancel := s.engine.Call(ctx)
	defer cancel()
	there, err := s.engine.API.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", provisioner.LabelInstance+"="+s.engine.Instance))})
	if err != nil {
		return s.engine.Fail(ctx, op, err)
	}
	has := map[string]bool{}
	for _, c := range there {
		has[c.Labels[provisioner.LabelEnvironment]] = true
	}
	var errs []error
	for _, d := range all {
		environment, _, _ := strings.Cut(d.Name(), ".")
		info, err := d.Info()
		if err != nil || has[environment] || time.Since(madeAt(info)) < s.LeftAfter {
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
func (e *folders) sweepImages(unusedAfter time.Duration) error {
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
		if err != nil || time.Since(usedAt(info)) < unusedAfter {
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
func (s *Store) Kept(ctx context.Context) ([]string, error) {
	if s.etcs.dir == "" {
		return nil, nil
	}
	return Left{s.etcs.dir, s.LeftAfter}.Kept(ctx)
}

// Discard implements provisioner.Keeper.
func (s *Store) Discard(ctx context.Context, environment string) error {
	if s.etcs.dir == "" {
		return nil
	}
	return Left{s.etcs.dir, s.LeftAfter}.Discard(ctx, environment)
}
