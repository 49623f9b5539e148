package unpack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/cli/unpack"
)

// rawEntry is an entry as its bytes: what archive/tar does not write.
func rawEntry(name string, kind byte, content string, old ...string) string {
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x00")
	copy(block[124:], fmt.Sprintf("%011o\x00", len(content)))
	copy(block[148:], "        ")
	block[156] = kind
	copy(block[257:], "ustar\x0000")
	if len(old) > 0 { // GNU's own header, with its map from 386 on
		copy(block[257:], "ustar  \x00")
		for i, field := range old[:len(old)-1] {
			copy(block[386+12*i:], field)
		}
		copy(block[483:], old[len(old)-1])
	}
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return string(block) + content + strings.Repeat("\x00", (512-len(content)%512)%512)
}

func paxRecords(pairs ...string) string {
	var all strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		rest := " " + pairs[i] + "=" + pairs[i+1] + "\n"
		n := len(rest)
		for len(strconv.Itoa(n))+len(rest) != n {
			n = len(strconv.Itoa(n)) + len(rest)
		}
		all.WriteString(strconv.Itoa(n) + rest)
	}
	return all.String()
}

// hollow is a file of size bytes that says "data" at one place, in each format of GNU tar.
func hollow(format, name string, size, at int64) string {
	switch format {
	case "1.0":
		m := fmt.Sprintf("2\n%d\n4\n%d\n0\n", at, size)
		return rawEntry("pax", tar.TypeXHeader, paxRecords("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", name, "GNU.sparse.realsize", strconv.FormatInt(size, 10))) +
			rawEntry("x", tar.TypeReg, m+strings.Repeat("\x00", 512-len(m))+"data")
	case "0.1":
		return rawEntry("pax", tar.TypeXHeader, paxRecords("GNU.sparse.name", name, "GNU.sparse.size", strconv.FormatInt(size, 10), "GNU.sparse.numblocks", "2",
			"GNU.sparse.map", fmt.Sprintf("%d,4,%d,0", at, size))) + rawEntry("x", tar.TypeReg, "data")
	}
	octal := func(n int64) string { return fmt.Sprintf("%011o\x00", n) }
	return rawEntry(name, tar.TypeGNUSparse, "data", octal(at), octal(4), octal(size), octal(0), octal(size))
}

var formats = []string{"1.0", "0.1", "old"}

const ended = 1024

// What was stored with holes has them again, and takes no more room than before.
func TestHolesAreMadeAgain(t *testing.T) {
	const size, at = 64 << 20, 10 << 20
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			in := strings.NewReader(rawEntry("src/", tar.TypeDir, "") + hollow(format, "src/disk", size, at) + rawEntry("src/next", tar.TypeReg, "next") + strings.Repeat("\x00", ended))
			dir := filepath.Join(t.TempDir(), "new")
			result, err := unpack.Tar(in, "src", dir, unpack.Options{})
			if err != nil || result.Files != 2 {
				t.Fatalf("%+v, %v", result, err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "disk"))
			want := make([]byte, size)
			copy(want[at:], "data")
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if next, err := os.ReadFile(filepath.Join(dir, "next")); string(next) != "next" || err != nil {
				t.Errorf("what follows: %q, %v", next, err)
			}
			checkRoom(t, filepath.Join(dir, "disk"), 1<<20)
		})
	}
}

// A few bytes must not claim a file that is larger than a copy may be: alone, or together with others, or as a copy of one file.
func TestHolesAreBounded(t *testing.T) {
	const most = 10 << 20
	opts := unpack.Options{MostSparse: func() (int64, error) { return most, nil }}
	for _, format := range formats {
		for name, c := range map[string]struct {
			archive, src string
			files        int
		}{
			"one too large":       {rawEntry("src/", tar.TypeDir, "") + hollow(format, "src/huge", most+1, 0) + rawEntry("src/next", tar.TypeReg, "x"), "src", 1},
			"too large together":  {rawEntry("src/", tar.TypeDir, "") + hollow(format, "src/a", most, 0) + hollow(format, "src/b", 1<<20, 0), "src", 1},
			"of 8 GiB less a bit": {rawEntry("src/", tar.TypeDir, "") + hollow(format, "src/huge", 1<<33-1, 0), "src", 0},
			"a copy of a file":    {hollow(format, "huge", most+1, 0), "huge", 0},
		} {
			t.Run(format+", "+name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "new")
				result, err := unpack.Tar(strings.NewReader(c.archive+strings.Repeat("\x00", ended)), c.src, dir, opts)
				if err == nil || !strings.Contains(err.Error(), "sparse file") {
					t.Errorf("error = %v", err)
				}
				if result.Files != c.files || result.Bytes > most {
					t.Errorf("%d files, %d bytes; want %d files", result.Files, result.Bytes, c.files)
				}
			})
		}
	}
	failing := errors.New("away")
	_, err := unpack.Tar(strings.NewReader(hollow("1.0", "a", 100, 0)+strings.Repeat("\x00", ended)), "a", t.TempDir(), unpack.Options{MostSparse: func() (int64, error) { return 0, failing }})
	if !errors.Is(err, failing) {
		t.Errorf("the bound cannot be had: %v", err)
	}
}

// A map that lies ends the copy and fills nothing.
func TestLyingMapsOfHoles(t *testing.T) {
	for name, m := range map[string]string{
		"beyond the end": "200,4", "backwards": "50,2,10,2", "overlapping": "0,3,1,1", "negative": "-1,4", "odd": "1,2,3", "words": "a,b", "more than is stored": "0,90", "huge": "0,9223372036854775807,1,9223372036854775807",
	} {
		t.Run(name, func(t *testing.T) {
			head := rawEntry("pax", tar.TypeXHeader, paxRecords("GNU.sparse.name", "f", "GNU.sparse.size", "100", "GNU.sparse.numblocks", strconv.Itoa((strings.Count(m, ",")+1)/2), "GNU.sparse.map", m))
			result, err := unpack.Tar(strings.NewReader(head+rawEntry("x", tar.TypeReg, "data")+strings.Repeat("\x00", ended)), "f", t.TempDir(), unpack.Options{})
			if err == nil || result.Bytes > 100 {
				t.Errorf("%+v, %v", result, err)
			}
		})
	}
}
