// Package sparsetar writes the headers of files with holes, in GNU tar's PAX format 0.1. The map of the stored parts is in the header, so
// a receiver can check it before any content arrives. archive/tar reads that format but does not write it.
//
// Both ends of a copy write it: the command line for files that it sends, and the Docker runtime for files that it forwards. It imports
// only the standard library, so that both may import it.
package sparsetar

import (
	"archive/tar"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// Map is the PAX record of the stored parts: offset,length,offset,length,...
	Map = "GNU.sparse.map"
	// Block is the block size of an archive, in bytes.
	Block = 512
	// octal11 is the largest number that fits into eleven octal digits: a size in bytes, a time in seconds.
	octal11 = 1<<33 - 1
)

// Part is a stored part of a file, in bytes.
type Part struct{ At, Length int64 }

// Header returns the header of a file with holes, with its PAX records before it. The file's name, size, mode and time are h's; the
// contents of its parts follow the header, then Padding.
func Header(h *tar.Header, parts []Part) []byte {
	var text strings.Builder
	stored := int64(0)
	for _, p := range parts {
		stored += p.Length
		fmt.Fprintf(&text, "%d,%d,", p.At, p.Length)
	}
	// The end of the file gives it its full length.
	fmt.Fprintf(&text, "%d,0", h.Size)
	records := Record("mtime", paxTime(h.ModTime)) + Record("GNU.sparse.name", h.Name) + Record("GNU.sparse.size", strconv.FormatInt(h.Size, 10)) +
		Record("GNU.sparse.numblocks", strconv.Itoa(len(parts)+1)) + Record(Map, text.String())
	if stored > octal11 {
		records = Record("size", strconv.FormatInt(stored, 10)) + records
	}
	all := Ustar(tar.TypeXHeader, "PaxHeaders.0/sparse", 0o644, int64(len(records)), 0)
	all = append(append(all, records...), Padding(int64(len(records)))...)
	return append(all, Ustar(tar.TypeReg, "GNUSparseFile.0/sparse", h.Mode, stored, h.ModTime.Unix())...)
}

// Padding returns the zeros that fill the last block of n bytes.
func Padding(n int64) []byte { return make([]byte, (Block-n%Block)%Block) }

// paxTime formats a time to the nanosecond. A time before 1970 becomes 1970.
func paxTime(t time.Time) string {
	if t.Unix() < 0 {
		return "0"
	}
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// Record returns a PAX record, "length key=value\n", with its own length.
func Record(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	n := len(rest)
	for len(strconv.Itoa(n))+len(rest) != n {
		n = len(strconv.Itoa(n)) + len(rest)
	}
	return strconv.Itoa(n) + rest
}

// Ustar returns the header block of an entry. A size or a time too large for it is in the PAX records before it.
func Ustar(typ byte, name string, mode, size, mtime int64) []byte {
	b := make([]byte, Block)
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
