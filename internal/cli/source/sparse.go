package source

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// A file with holes is sent in GNU tar's PAX format 0.1, whose map of what is stored lies in the header: the daemon can check it
// there before any content comes. archive/tar reads that format and writes none.

const (
	// maxStored bounds the parts of a file with holes; one that has more is sent with its zeros.
	maxStored = 10_000
	// leastHoles is how much of a file has to be holes for them to be kept, in bytes.
	leastHoles = 1 << 20
	tarBlock   = 512
	// octal11 is the largest number that fits into eleven octal digits: a size in bytes, a time in seconds.
	octal11 = 1<<33 - 1
)

// stored is a part of a file that is no hole.
type stored struct{ at, length int64 }

// storedParts finds what of a file of that size is no hole; nil when it is better sent as it is.
func storedParts(f *os.File, info fs.FileInfo) []stored {
	if !sparseInfo(info) {
		return nil
	}
	parts, saved := []stored{}, info.Size()
	for at := int64(0); at < info.Size(); {
		from, to, err := nextData(f, at)
		if err != nil || len(parts) == maxStored {
			return nil
		}
		if from >= info.Size() {
			break
		}
		to = min(to, info.Size())
		if to <= from {
			return nil // no file system says that
		}
		parts = append(parts, stored{from, to - from})
		saved -= to - from
		at = to
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil || saved < leastHoles {
		return nil
	}
	return parts
}

// sparse writes a file with holes.
func (p *packer) sparse(f *os.File, info fs.FileInfo, name string, parts []stored) error {
	if err := p.tar.Flush(); err != nil {
		return err
	}
	total := int64(0)
	for _, part := range parts {
		total += part.length
	}
	if _, err := p.w.Write(sparseHeader(name, info, parts, total)); err != nil {
		return err
	}
	begun, missing := p.done, int64(0)
	for _, part := range parts {
		p.done = begun + part.at
		n, err := io.Copy(plain{p}, io.NewSectionReader(f, part.at, part.length))
		if err == nil && n < part.length {
			missing += part.length - n
			_, err = io.CopyN(plain{p}, zeros{}, part.length-n)
		}
		if err != nil {
			return err
		}
	}
	p.done = begun + info.Size()
	p.report.bytes(p.done)
	if _, err := p.w.Write(make([]byte, (tarBlock-total%tarBlock)%tarBlock)); err != nil {
		return err
	}
	if missing > 0 || changed(f, info) {
		p.report.changed(name, missing)
	}
	return nil
}

// plain writes content past archive/tar.
type plain struct{ p *packer }

func (w plain) Write(b []byte) (int, error) {
	n, err := w.p.w.Write(b)
	w.p.done += int64(n)
	w.p.report.bytes(w.p.done)
	return n, err
}

// sparseHeader is the header of a file with holes, with its PAX records before it.
func sparseHeader(name string, info fs.FileInfo, parts []stored, total int64) []byte {
	var text strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&text, "%d,%d,", p.at, p.length)
	}
	// The end of the file: what makes it as long as it is.
	fmt.Fprintf(&text, "%d,0", info.Size())
	records := paxRecord("mtime", paxTime(info.ModTime())) + paxRecord("GNU.sparse.name", name) + paxRecord("GNU.sparse.size", strconv.FormatInt(info.Size(), 10)) +
		paxRecord("GNU.sparse.numblocks", strconv.Itoa(len(parts)+1)) + paxRecord("GNU.sparse.map", text.String())
	if total > octal11 {
		records = paxRecord("size", strconv.FormatInt(total, 10)) + records
	}
	all := ustar('x', "PaxHeaders.0/sparse", 0o644, int64(len(records)), 0)
	all = append(append(all, records...), make([]byte, (tarBlock-len(records)%tarBlock)%tarBlock)...)
	return append(all, ustar(tar.TypeReg, "GNUSparseFile.0/sparse", int64(info.Mode().Perm()), total, info.ModTime().Unix())...)
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
	octal(100, 7, mode)
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
