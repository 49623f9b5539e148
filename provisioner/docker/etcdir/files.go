package etcdir

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

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
	defer engine.CloseQuietly(root)
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
	defer engine.CloseQuietly(in)
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
