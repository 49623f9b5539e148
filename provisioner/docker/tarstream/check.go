// Package tarstream judges the tar streams that are unpacked in sandboxes: what a stream says is a claim, so nothing of it may land
// outside of its folder, and it costs no more than its length. It does not know where it goes.
package tarstream

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/internal/sparsetar"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// Op names a copy into a sandbox in errors.
	Op = "copy into sandbox"
	// maxEntries bounds what is remembered of one stream, the folders that names go through included (about 100 bytes each).
	maxEntries = 1_000_000
	maxNames   = 128 << 20
	// maxNameBytes is PATH_MAX and maxNameParts as deep as a tree gets: names and targets beyond are refused before they are
	// looked at. The sandbox's tar could not make them either.
	maxNameBytes = 4096
	maxNameParts = 255
	// sparseWhy: the map of holes of other formats lies in the content.
	sparseWhy = "it is stored as a sparse file of another format than PAX 0.1; pack it with --format=pax --sparse-version=0.1, or without holes"
	// maxClaimed bounds what the files of a stream have in all, holes included, when nobody says a bound: a few bytes can stand for a
	// hole of any size.
	maxClaimed = 2 << 30
)

// Clean copies a tar stream entry by entry and refuses, with class Permanent and the entry's name, whatever could be written outside of
// the folder it is unpacked in. Owners, set-id bits of files and extended attributes are dropped. holes tells, when it is first
// needed, whether the tar that unpacks knows holes; one that does not gets zeros. It ends with ctx; its work is linear in the stream's bytes.
func Clean(ctx context.Context, from io.Reader, to io.Writer, holes func() bool) error {
	holes = sync.OnceValue(holes)
	most, claimed := int64(maxClaimed), int64(0)
	if limited, ok := from.(provisioner.Limited); ok {
		most = limited.Limit()
	}
	end := &endWatch{r: from}
	in, out := tar.NewReader(end), tar.NewWriter(to)
	c := newTarChecker()
	for {
		if ctx.Err() != nil {
			return &provisioner.Error{Class: provisioner.Cancelled, Op: Op, Sentence: "the copy was cancelled", Err: context.Cause(ctx)}
		}
		hdr, err := in.Next()
		if errors.Is(err, io.EOF) && end.zeros < tarEnd {
			return provisioner.Errorf(provisioner.Permanent, Op, "the tar stream is cut short: it has no end mark")
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
		if len(c.nodes) > maxEntries || c.names > maxNames {
			return provisioner.Errorf(provisioner.Permanent, Op, "the tar stream has more than %d entries, or more than %d MiB of names", maxEntries, maxNames>>20)
		}
		parts, total, err := c.holes(hdr)
		if err != nil {
			return err
		}
		if claimed += clean.Size; parts != nil && claimed > most {
			return provisioner.Errorf(provisioner.Permanent, Op, "%s in the tar stream is refused: with its holes the files have more than %d MiB, the limit of one copy", shortQuoted(hdr.Name), most>>20)
		}
		if parts != nil && holes() {
			err = sparseFile(out, to, clean, in, parts, total)
		} else {
			if err := out.WriteHeader(clean); err != nil {
				return writeFault(hdr.Name, err)
			}
			_, err = io.Copy(onlyWriter{out}, in)
		}
		if err != nil {
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

// onlyWriter marks the write side, to distinguish its faults from one of the stream that is read.
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
	return provisioner.Errorf(provisioner.Permanent, Op, "%s in the tar stream cannot be copied: %w", shortQuoted(name), err)
}

func copyFault(name string, err error) error {
	if _, ok := errors.AsType[*sinkError](err); ok {
		return fmt.Errorf("copy %s: %w", shortQuoted(name), err)
	}
	return tarFault(err)
}

// tarFault tells a broken tar from a stream that broke off.
func tarFault(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return provisioner.Errorf(provisioner.Permanent, Op, "the tar stream ends in the middle of an entry")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return provisioner.Errorf(provisioner.Permanent, Op, "this is not a tar stream: %w", err)
	}
	return &provisioner.Error{Class: provisioner.Cancelled, Op: Op,
		Sentence: "the tar stream broke off: " + err.Error(), Err: err}
}

// entry checks one header and gives the one to write, nil for one that is left out.
func (c *tarChecker) entry(hdr *tar.Header) (*tar.Header, error) {
	refuse := func(why string) (*tar.Header, error) {
		return nil, provisioner.Errorf(provisioner.Permanent, Op, "%s in the tar stream is refused: %s", shortQuoted(hdr.Name), why)
	}
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil, nil // git archive's note of the commit; it makes no file
	}
	switch {
	case tooLong(hdr.Name):
		return refuse(fmt.Sprintf("its name has more than %d bytes or %d parts", maxNameBytes, maxNameParts))
	case tooLong(hdr.Linkname):
		return refuse(fmt.Sprintf("its target has more than %d bytes or %d parts", maxNameBytes, maxNameParts))
	case strings.ContainsRune(hdr.Name, 0) || strings.ContainsRune(hdr.Linkname, 0):
		return refuse("its name holds a NUL byte")
	case hdr.Name == "":
		return refuse("it has no name")
	case path.IsAbs(hdr.Name):
		return refuse("its name is absolute")
	}
	if isSparse(hdr) && (hdr.PAXRecords[sparsetar.Map] == "" || hdr.PAXRecords["GNU.sparse.major"] != "" || hdr.Typeflag != tar.TypeReg) {
		return refuse(sparseWhy)
	}
	name := path.Clean(hdr.Name)
	if name == ".." || strings.HasPrefix(name, "../") {
		return refuse("it would land outside the directory")
	}
	out := &tar.Header{Name: name, Mode: hdr.Mode & 0o777, ModTime: hdr.ModTime, Format: tar.FormatPAX}
	var as kind
	switch hdr.Typeflag {
	case tar.TypeDir:
		as, out.Typeflag, out.Name = kindDir, tar.TypeDir, name+"/"
		out.Mode = hdr.Mode & 0o3777 // its group and its users' safety from each other; a program gets nobody's rights
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
		return refuse("it would replace the directory itself")
	}
	if why := c.place(name, as, hdr.Linkname, hdr.Typeflag); why != "" {
		return refuse(why)
	}
	return out, nil
}

// isSparse reports whether a file's holes are left out of the stream.
func isSparse(hdr *tar.Header) bool {
	for record := range hdr.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// holes returns the parts of a file with holes that are stored, and their bytes; nil for any other entry.
func (c *tarChecker) holes(hdr *tar.Header) (parts []sparsetar.Part, total int64, err error) {
	if !isSparse(hdr) {
		return nil, 0, nil
	}
	parts, total, why := storedParts(hdr.PAXRecords[sparsetar.Map], hdr.Size)
	if why != "" {
		return nil, 0, provisioner.Errorf(provisioner.Permanent, Op, "%s in the tar stream is refused: %s", shortQuoted(hdr.Name), why)
	}
	if parts == nil {
		parts = []sparsetar.Part{}
	}
	return parts, total, nil
}

// tooLong looks at each byte once.
func tooLong(name string) bool {
	return len(name) > maxNameBytes || strings.Count(strings.TrimSuffix(name, "/"), "/") >= maxNameParts
}

// shortQuoted shows a name of the stream's in an error.
func shortQuoted(name string) string {
	const most = 200
	if len(name) <= most {
		return strconv.Quote(name)
	}
	return strconv.Quote(name[:most]) + "..."
}
