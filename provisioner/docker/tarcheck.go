package docker

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

const (
	opCopyTo = "copy into sandbox"
	// maxEntries bounds what is remembered of one stream (about 100 bytes an entry).
	maxEntries = 1_000_000
	// sparseWhy: a few bytes can stand for a hole of any size.
	sparseWhy = "it is stored as a sparse file; pack it without holes"
	// maxLinks bounds the links followed for one name.
	maxLinks = 40
)

// kind is what a name of the stream stands for.
type kind byte

const (
	kindDir kind = iota + 1
	kindFile
	kindLink
)

// tarChecker checks the entries of one tar stream. It knows the tree as the stream
// has built it so far; every link in it leads to a place inside, whatever later entries do.
type tarChecker struct {
	kinds map[string]kind
	links map[string]string // a symlink's name -> its target as given
}

// cleanTar copies a tar stream entry by entry and refuses, with class
// Permanent and the entry's name, whatever could leave the folder it is unpacked in.
// Owners, set-id bits and extended attributes are dropped.
func cleanTar(from io.Reader, to io.Writer) error {
	end := &endWatch{r: from}
	in, out := tar.NewReader(end), tar.NewWriter(to)
	c := &tarChecker{kinds: map[string]kind{}, links: map[string]string{}}
	for {
		hdr, err := in.Next()
		if errors.Is(err, io.EOF) && end.zeros < tarEnd {
			return provisioner.Errorf(provisioner.Permanent, opCopyTo, "the tar stream is cut short: it has no end mark")
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return tarFault(err)
		}
		clean, err := c.entry(hdr)
		if err != nil {
			return err
		}
		if clean == nil {
			end.zeros = 0
			continue
		}
		if len(c.kinds) > maxEntries {
			return provisioner.Errorf(provisioner.Permanent, opCopyTo, "the tar stream has more than %d entries", maxEntries)
		}
		if err := out.WriteHeader(clean); err != nil {
			return writeFault(hdr.Name, err)
		}
		if _, err := io.Copy(onlyWriter{out}, in); err != nil {
			return copyFault(hdr.Name, err)
		}
		end.zeros = 0
	}
	if err := out.Close(); err != nil {
		return writeFault("the end", err)
	}
	return nil
}

// endWatch counts the zero bytes that a stream ended with: a tar ends with two empty blocks, and
// archive/tar takes a stream that was cut between two entries for a whole one.
type endWatch struct {
	r     io.Reader
	zeros int
}

// tarEnd is the length of a tar's end mark.
const tarEnd = 1024

func (e *endWatch) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	kept := len(bytes.TrimRight(p[:n], "\x00"))
	if kept > 0 {
		e.zeros = 0
	}
	e.zeros += n - kept
	return n, err
}

// onlyWriter marks the write side, so that a fault of it can be told from one of the stream that is read.
type onlyWriter struct{ w io.Writer }

func (o onlyWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = &sinkError{err}
	}
	return n, err
}

// sinkError is a failure to hand on what was read.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// writeFault is a header that cannot be written: by its content, or for want of a reader.
func writeFault(name string, err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return &sinkError{err}
	}
	return provisioner.Errorf(provisioner.Permanent, opCopyTo, "%q in the tar stream cannot be copied: %w", name, err)
}

func copyFault(name string, err error) error {
	if _, ok := errors.AsType[*sinkError](err); ok {
		return fmt.Errorf("copy %q: %w", name, err)
	}
	return tarFault(err)
}

// tarFault tells a broken tar from a stream that broke off.
func tarFault(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return provisioner.Errorf(provisioner.Permanent, opCopyTo, "the tar stream ends in the middle of an entry")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return provisioner.Errorf(provisioner.Permanent, opCopyTo, "this is not a tar stream: %w", err)
	}
	return &provisioner.Error{Class: provisioner.Cancelled, Op: opCopyTo,
		Sentence: "the tar stream broke off: " + err.Error(), Err: err}
}

// entry checks one header and gives the one to write, nil for one that is left out.
func (c *tarChecker) entry(hdr *tar.Header) (*tar.Header, error) {
	refuse := func(why string) (*tar.Header, error) {
		return nil, provisioner.Errorf(provisioner.Permanent, opCopyTo, "%q in the tar stream is refused: %s", hdr.Name, why)
	}
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil, nil // git archive's note of the commit; it makes no file
	}
	switch {
	case strings.ContainsRune(hdr.Name, 0) || strings.ContainsRune(hdr.Linkname, 0):
		return refuse("its name holds a NUL byte")
	case hdr.Name == "":
		return refuse("it has no name")
	case path.IsAbs(hdr.Name):
		return refuse("its name is absolute")
	}
	for record := range hdr.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return refuse(sparseWhy)
		}
	}
	name := path.Clean(hdr.Name)
	if name == ".." || strings.HasPrefix(name, "../") {
		return refuse("it would land outside the folder")
	}
	out := &tar.Header{Name: name, Mode: hdr.Mode & 0o1777, ModTime: hdr.ModTime, Format: tar.FormatPAX}
	var as kind
	switch hdr.Typeflag {
	case tar.TypeDir:
		as, out.Typeflag, out.Name = kindDir, tar.TypeDir, name+"/"
	case tar.TypeReg, '\x00', tar.TypeCont:
		as, out.Typeflag, out.Size = kindFile, tar.TypeReg, hdr.Size
	case tar.TypeSymlink:
		as, out.Typeflag, out.Linkname = kindLink, tar.TypeSymlink, hdr.Linkname
	case tar.TypeLink:
		as, out.Typeflag, out.Linkname = kindFile, tar.TypeLink, path.Clean(hdr.Linkname)
	case tar.TypeGNUSparse:
		return refuse(sparseWhy)
	case tar.TypeChar, tar.TypeBlock:
		return refuse("it is a device")
	case tar.TypeFifo:
		return refuse("it is a named pipe")
	default:
		return refuse(fmt.Sprintf("it is of type %q, which is not known", string(hdr.Typeflag)))
	}
	if name == "." {
		if as == kindDir {
			return nil, nil // the folder itself stays as it is
		}
		return refuse("it would take the folder's own place")
	}
	if why := c.place(name, as, hdr.Linkname, hdr.Typeflag); why != "" {
		return refuse(why)
	}
	return out, nil
}

// place puts a name into the tree, or says why not.
func (c *tarChecker) place(name string, as kind, target string, typ byte) string {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if c.kinds[dir] == kindLink {
			return "it lies behind the link " + dir
		}
		c.kinds[dir] = kindDir
	}
	if was := c.kinds[name]; was != 0 && was != as && (was == kindLink || as == kindLink) {
		return "another entry of that name is a link"
	}
	switch typ {
	case tar.TypeSymlink:
		if target == "" || path.IsAbs(target) {
			return "its target is absolute"
		}
		if why := c.follow(path.Dir(name), target); why != "" {
			return why
		}
		if old, ok := c.links[name]; ok && old != target {
			return "another entry of that name is a link"
		}
		c.links[name] = target
	case tar.TypeLink:
		to := path.Clean(target)
		if path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
			return "its target lies outside the folder"
		}
		for dir := path.Dir(to); dir != "."; dir = path.Dir(dir) {
			if c.kinds[dir] == kindLink {
				return "its target lies behind the link " + dir
			}
		}
		if c.kinds[to] != kindFile {
			return "its target is no file of this stream"
		}
	}
	c.kinds[name] = as
	return ""
}

// follow walks a symlink's target from folder at, through the stream's links,
// and says why when it leaves. A name that is stepped back from must stay a folder for
// good, else a later link in its place would change where the step leads.
func (c *tarChecker) follow(at, target string) string {
	here := split(at)
	todo := split(target)
	for links := 0; len(todo) > 0; {
		step := todo[0]
		todo = todo[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			if len(here) == 0 {
				return "its target lies outside the folder"
			}
			c.kinds[strings.Join(here, "/")] = kindDir
			here = here[:len(here)-1]
			continue
		}
		here = append(here[:len(here):len(here)], step)
		next, ok := c.links[strings.Join(here, "/")]
		if !ok {
			continue
		}
		if links++; links > maxLinks {
			return "its target goes round in links"
		}
		here = here[:len(here)-1]
		todo = append(split(next), todo...)
	}
	return ""
}

// split gives a path's steps; "." has none.
func split(p string) []string {
	if p == "." {
		return nil
	}
	return strings.Split(p, "/")
}
