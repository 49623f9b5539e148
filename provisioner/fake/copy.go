package fake

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

// CopyTo unpacks a tar stream: all of it, or nothing when one entry is refused.
func (r *Runtime) CopyTo(ctx context.Context, id, dir, user string, stream io.Reader) error {
	const op = "copy to sandbox"
	env := r.w.environmentOf(id)
	if err := r.w.begin(ctx, OpCopyTo); err != nil {
		return err
	}
	if err := r.w.reach(ctx, OpCopyTo, env, Before, nil); err != nil {
		return err
	}
	entries, err := readTar(ctx, stream)
	if err != nil {
		return err
	}
	if user == "" {
		user = imageUser
	}
	err = r.w.tx(func() error {
		c, err := r.w.container(op, id)
		if err != nil {
			return err
		}
		at, n, ok := c.Sandbox.files().get(dir)
		if !ok || !n.Mode.IsDir() {
			return provisioner.Errorf(provisioner.NotFound, op, "no such folder in the sandbox: %s", dir)
		}
		u := &unpacking{dir: at, user: user, files: maps.Clone(c.Sandbox.files())}
		for _, e := range entries {
			if err := u.put(e); err != nil {
				return err
			}
		}
		c.Sandbox.Files = u.files
		return r.w.resources.put(id, c)
	})
	if err != nil {
		return err
	}
	return r.w.reach(ctx, OpCopyTo, env, After, nil)
}

type entry struct {
	head *tar.Header
	data []byte
}

func readTar(ctx context.Context, stream io.Reader) ([]entry, error) {
	const op = "copy to sandbox"
	var all []entry
	for reader := tar.NewReader(stream); ; {
		if err := ctx.Err(); err != nil {
			return nil, cancelled(OpCopyTo, err)
		}
		head, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, provisioner.Errorf(provisioner.Permanent, op, "read tar stream: %w", err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			return nil, provisioner.Errorf(provisioner.Permanent, op, "read tar stream: %w", err)
		}
		all = append(all, entry{head, data})
	}
}

// unpacking writes entries into a copy of the files.
type unpacking struct {
	dir, user string
	files     tree
}

func (u *unpacking) put(e entry) error {
	const op = "copy to sandbox"
	name := e.head.Name
	refuse := func(why string) error {
		return provisioner.Errorf(provisioner.Permanent, op, "entry %q is refused: %s", name, why)
	}
	if bad(name) {
		return refuse("it would land outside the folder")
	}
	target := path.Join(u.dir, name)
	if target == u.dir {
		return nil // the folder itself, which is there
	}
	parent, ok := u.files.resolve(path.Dir(target), true)
	if !ok || (parent != u.dir && !inside(parent, u.dir)) {
		return refuse("a link on its way leads out of the folder")
	}
	if err := u.folders(parent); err != nil {
		return err
	}
	target = path.Join(parent, path.Base(target))
	if old, there := u.files[target]; !there && !u.files[parent].may(u.user, 2) || there && !old.Mode.IsDir() && !old.may(u.user, 2) {
		return provisioner.Errorf(provisioner.Denied, op, "entry %q: permission denied for user %s", name, u.user)
	}
	mode := fs.FileMode(e.head.Mode) & fs.ModePerm
	switch e.head.Typeflag {
	case tar.TypeDir:
		if e.head.Mode&0o1000 != 0 {
			mode |= fs.ModeSticky
		}
		if e.head.Mode&0o2000 != 0 {
			mode |= fs.ModeSetgid
		}
		u.files[target] = node{Mode: fs.ModeDir | mode, User: u.user, Time: e.head.ModTime}
	case tar.TypeReg:
		u.files[target] = node{Mode: mode, User: u.user, Data: e.data, Time: e.head.ModTime}
	case tar.TypeSymlink:
		u.files[target] = node{Mode: fs.ModeSymlink | 0o777, User: u.user, Link: e.head.Linkname}
	case tar.TypeLink:
		source := path.Join(u.dir, e.head.Linkname)
		linked, there := u.files[source]
		if bad(e.head.Linkname) || !there || !linked.Mode.IsRegular() {
			return refuse("the hard link points out of the folder or to no file in it")
		}
		u.files[target] = linked
	default:
		return refuse("only files, folders and links are taken")
	}
	return nil
}

// folders makes the missing folders on the way, as tar does.
func (u *unpacking) folders(dir string) error {
	if n, there := u.files[dir]; there {
		if !n.Mode.IsDir() {
			return provisioner.Errorf(provisioner.Permanent, "copy to sandbox", "%s is not a folder", dir)
		}
		return nil
	}
	if err := u.folders(path.Dir(dir)); err != nil {
		return err
	}
	u.files[dir] = node{Mode: fs.ModeDir | 0o755, User: u.user}
	return nil
}

// bad reports whether an entry's name leads out, or is no name.
func bad(name string) bool {
	return path.IsAbs(name) || strings.ContainsRune(name, 0) ||
		strings.HasPrefix(path.Clean(name), "../") || path.Clean(name) == ".."
}

// CopyFrom packs a file or a folder.
func (r *Runtime) CopyFrom(ctx context.Context, id, from, user string) (io.ReadCloser, error) {
	const op = "copy from sandbox"
	if user == "" {
		user = imageUser
	}
	var packed bytes.Buffer
	err := r.w.simple(ctx, OpCopyFrom, r.w.environmentOf(id), func() error {
		c, err := r.w.container(op, id)
		if err != nil {
			return err
		}
		files := c.Sandbox.files()
		at, _, ok := files.get(from)
		if !ok { // a link that leads nowhere is packed itself
			at, _ = files.resolve(from, false)
			_, ok = files[at]
		}
		if !ok {
			return provisioner.Errorf(provisioner.NotFound, op, "no such file or folder in the sandbox: %s", from)
		}
		return pack(&packed, files, at, path.Base(path.Clean("/"+from)), user)
	})
	if err != nil {
		return nil, err
	}
	return io.NopCloser(&packed), nil
}

func pack(to io.Writer, files tree, from, base, user string) error {
	const op = "copy from sandbox"
	writer := tar.NewWriter(to)
	for _, p := range files.below(from) {
		n := files[p]
		if n.Mode&fs.ModeSymlink == 0 && !n.may(user, 4) {
			return provisioner.Errorf(provisioner.Denied, op, "permission denied for user %s: %s", user, p)
		}
		head := &tar.Header{
			Name: path.Join(base, strings.TrimPrefix(p, from)), Mode: int64(n.Mode.Perm()),
			Size: int64(len(n.Data)), Uname: n.User, Typeflag: tar.TypeReg, Format: tar.FormatPAX, ModTime: n.Time,
		}
		if n.Mode&fs.ModeSticky != 0 {
			head.Mode |= 0o1000
		}
		if n.Mode&fs.ModeSetgid != 0 {
			head.Mode |= 0o2000
		}
		switch {
		case n.Mode.IsDir():
			head.Typeflag, head.Name = tar.TypeDir, head.Name+"/"
		case n.Mode&fs.ModeSymlink != 0:
			head.Typeflag, head.Linkname = tar.TypeSymlink, n.Link
		}
		if err := writer.WriteHeader(head); err != nil {
			return provisioner.Errorf(provisioner.Permanent, op, "pack %s: %w", p, err)
		}
		if _, err := writer.Write(n.Data); err != nil {
			return provisioner.Errorf(provisioner.Permanent, op, "pack %s: %w", p, err)
		}
	}
	if err := writer.Close(); err != nil {
		return provisioner.Errorf(provisioner.Permanent, op, "pack %s: %w", from, err)
	}
	return nil
}
