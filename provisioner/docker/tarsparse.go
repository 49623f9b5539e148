package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

const (
	// sparseMap is the PAX record of a file with holes, as GNU tar's format 0.1 has it: offset,length,offset,length,... of what is stored.
	sparseMap = "GNU.sparse.map"
	// maxParts bounds the parts of one file with holes.
	maxParts = 20_000
	tarBlock = 512
	// octal11 is the largest number that fits into eleven octal digits: a size in bytes, a time in seconds.
	octal11 = 1<<33 - 1
)

// stored is a part of a file that is no hole.
type stored struct{ at, length int64 }

// storedParts reads a sparse map of a file of size bytes, and says why it is none. The parts are made to begin and end at blocks, as
// GNU tar wants them: it reads whole blocks for each.
func storedParts(text string, size int64) (parts []stored, total int64, why string) {
	fields := strings.Split(text, ",")
	if len(fields)%2 != 0 || len(fields)/2 > maxParts {
		return nil, 0, fmt.Sprintf("its map of holes has %d numbers, want pairs of them, at most %d", len(fields), maxParts)
	}
	end := int64(0)
	for i := 0; i < len(fields); i += 2 {
		at, err := strconv.ParseInt(fields[i], 10, 64)
		length, err2 := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil || err2 != nil || at < end || length < 0 || at > size || length > size-at {
			return nil, 0, "its map of holes is wrong"
		}
		end = at + length
		if length == 0 {
			continue // the last one only says where the file ends
		}
		from, to := at-at%tarBlock, min(end+(tarBlock-end%tarBlock)%tarBlock, size)
		if last := len(parts) - 1; last >= 0 && parts[last].at+parts[last].length >= from {
			total += to - (parts[last].at + parts[last].length)
			parts[last].length = to - parts[last].at
			continue
		}
		parts, total = append(parts, stored{from, to - from}), total+to-from
	}
	return parts, total, ""
}

// sparseFile writes a file with holes, whose content in has zeros for them. A tar that knows no holes gets the zeros.
func sparseFile(out *tar.Writer, to io.Writer, clean *tar.Header, in io.Reader, parts []stored, total int64) error {
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := to.Write(sparseHeader(clean, parts, total)); err != nil {
		return &sinkError{err}
	}
	at := int64(0)
	for _, p := range parts {
		// The holes are read, too: they are zeros that the reader makes.
		if _, err := io.CopyN(io.Discard, in, p.at-at); err != nil {
			return unexpected(err)
		}
		if _, err := io.CopyN(onlyWriter{to}, in, p.length); err != nil {
			return unexpected(err)
		}
		at = p.at + p.length
	}
	if _, err := to.Write(make([]byte, (tarBlock-total%tarBlock)%tarBlock)); err != nil {
		return &sinkError{err}
	}
	return nil
}

// unexpected makes an end of content that is too early one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// sparseHeader is the header of a file with holes, with its PAX records before it: archive/tar writes none.
func sparseHeader(h *tar.Header, parts []stored, total int64) []byte {
	var text strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&text, "%d,%d,", p.at, p.length)
	}
	// The end of the file: what makes it as long as it is.
	fmt.Fprintf(&text, "%d,0", h.Size)
	records := paxRecord("mtime", paxTime(h.ModTime)) +
		paxRecord("GNU.sparse.name", h.Name) + paxRecord("GNU.sparse.size", strconv.FormatInt(h.Size, 10)) +
		paxRecord("GNU.sparse.numblocks", strconv.Itoa(len(parts)+1)) + paxRecord(sparseMap, text.String())
	if total > octal11 {
		records = paxRecord("size", strconv.FormatInt(total, 10)) + records
	}
	padding := (tarBlock - len(records)%tarBlock) % tarBlock
	all := ustar('x', "PaxHeaders.0/sparse", 0o644, int64(len(records)), 0)
	all = append(append(all, records...), make([]byte, padding)...)
	return append(all, ustar(tar.TypeReg, "GNUSparseFile.0/sparse", h.Mode, total, h.ModTime.Unix())...)
}

// paxTime is a time to the nanosecond. One before 1970 is 1970.
func paxTime(t time.Time) string {
	if t.Unix() < 0 {
		return "0"
	}
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// paxRecord is "length key=value\n", with its own length.
func paxRecord(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	n := len(rest)
	for len(strconv.Itoa(n))+len(rest) != n {
		n = len(strconv.Itoa(n)) + len(rest)
	}
	return strconv.Itoa(n) + rest
}

// ustar is a block that heads an entry. A size or a time too large for it is in the PAX records before it.
func ustar(typ byte, name string, mode, size, mtime int64) []byte {
	b := make([]byte, tarBlock)
	copy(b, name)
	octal := func(at, digits int, n int64) { copy(b[at:], fmt.Sprintf("%0*o", digits, max(n, 0))) }
	octal(100, 7, mode&0o7777)
	octal(108, 7, 0)
	octal(116, 7, 0)
	octal(124, 11, min(size, octal11))
	octal(136, 11, min(mtime, octal11))
	b[156] = typ
	copy(b[257:], "ustar\x0000")
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// knowsHoles reports whether the sandbox's tar makes holes of a sparse entry: GNU tar does. Others would take the entry for a file of
// that odd name.
func (r *Runtime) knowsHoles(ctx context.Context, id, user string) bool {
	said := &said{}
	code, err := r.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"tar", "--version"}, User: user, Dir: "/", Env: append(untranslated[:1:1], noOptions)},
		provisioner.Streams{Stdout: said, Stderr: io.Discard})
	// One that cannot be asked gets the zeros, which it may not want either: unpacking tells.
	return err == nil && code == 0 && strings.HasPrefix(said.String(), "tar (GNU tar)")
}
