package tarstream

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/sparsetar"
	"github.com/bothy-env/bothy/provisioner"
)

// hollow is a stream of one file of size bytes with the map of what is stored as given, and a plain file after it.
func hollow(size int64, sparse, content string) []byte {
	records := sparsetar.Record("GNU.sparse.name", "disk") + sparsetar.Record("GNU.sparse.size", strconv.FormatInt(size, 10)) +
		sparsetar.Record("GNU.sparse.numblocks", strconv.Itoa((strings.Count(sparse, ",")+1)/2)) + sparsetar.Record(sparsetar.Map, sparse)
	pad := func(s string) string { return s + string(sparsetar.Padding(int64(len(s)))) }
	return []byte(string(sparsetar.Ustar('x', "pax", 0o644, int64(len(records)), 0)) + pad(records) +
		string(sparsetar.Ustar(tar.TypeReg, "x", 0o640, int64(len(content)), 1_000_000_000)) + pad(content) +
		string(sparsetar.Ustar(tar.TypeReg, "next", 0o644, 4, 0)) + pad("next") + strings.Repeat("\x00", tarEnd))
}

func yes() bool { return true }
func no() bool  { return false }

// Holes reach a tar that knows them as holes, any other as zeros; what follows them arrives.
func TestHolesPass(t *testing.T) {
	const size = 64 << 20
	stream := hollow(size, fmt.Sprintf("1048576,4,%d,2,%d,0", 50<<20, size), "dataAB")
	want := make([]byte, size)
	copy(want[1<<20:], "data")
	copy(want[50<<20:], "AB")
	for _, known := range []bool{true, false} {
		var out bytes.Buffer
		if err := Clean(t.Context(), bytes.NewReader(stream), &out, func() bool { return known }); err != nil {
			t.Fatal(err)
		}
		if small := out.Len() < 100_000; small != known {
			t.Errorf("holes known: %v; %d bytes", known, out.Len())
		}
		if known { // GNU tar makes it of what was written
			checkUnpacked(t, out.Bytes(), want)
		}
		in := tar.NewReader(&out)
		h, err := in.Next()
		if err != nil || h.Name != "disk" || h.Size != size || h.Mode != 0o640 || !h.ModTime.Equal(time.Unix(1_000_000_000, 0)) {
			t.Fatalf("%+v, %v", h, err)
		}
		if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, want) {
			t.Errorf("holes known: %v; another content, %v", known, err)
		}
		if h, err := in.Next(); err != nil || h.Name != "next" {
			t.Errorf("after it: %+v, %v", h, err)
		}
	}
}

// checkUnpacked has this machine's GNU tar unpack a stream.
func checkUnpacked(t *testing.T, stream, want []byte) {
	t.Helper()
	if said, err := exec.Command("tar", "--version").Output(); err != nil || !bytes.HasPrefix(said, []byte("tar (GNU tar)")) {
		t.Logf("no GNU tar here: not unpacked (%v)", err)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command("tar", "-xpof", "-")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stream)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v, %s", err, said)
	}
	got, err := os.ReadFile(filepath.Join(dir, "disk"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("GNU tar made %d bytes of it, %v", len(got), err)
	}
	info, err := os.Stat(filepath.Join(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Blocks*512 > 1<<20 {
		t.Errorf("GNU tar made %d bytes on the disk", stat.Blocks*512)
	}
	if next, err := os.ReadFile(filepath.Join(dir, "next")); string(next) != "next" || err != nil {
		t.Errorf("after it: %q, %v", next, err)
	}
}

// limited says how much its files may have.
type limited struct {
	io.Reader
	most int64
}

func (l limited) Limit() int64 { return l.most }

// What a map claims is checked before any content passes, and what the files have in all is bounded, holes included.
func TestHostileHoles(t *testing.T) {
	many := strings.Repeat("0,0,", maxParts) + "0,0"
	for name, c := range map[string]struct {
		size   int64
		sparse string
		most   int64
		class  provisioner.Class
	}{
		"larger than a copy":             {1 << 20, "0,4,1048576,0", 1<<20 - 1, provisioner.Permanent},
		"larger than any":                {1 << 62, "0,4,4611686018427387904,0", 1 << 40, provisioner.Permanent},
		"no bound was said":              {maxClaimed + 1, "0,4", 0, provisioner.Permanent},
		"beyond the end":                 {100, "200,4", 1 << 20, provisioner.Permanent},
		"backwards":                      {100, "50,2,10,2", 1 << 20, provisioner.Permanent},
		"overlapping":                    {100, "0,3,1,1", 1 << 20, provisioner.Permanent},
		"negative":                       {100, "-1,4", 1 << 20, provisioner.Permanent},
		"odd":                            {100, "1,2,3", 1 << 20, provisioner.Permanent},
		"words":                          {100, "a,b", 1 << 20, provisioner.Permanent},
		"parts that have no end":         {100, many, 1 << 20, provisioner.Permanent},
		"a sum beyond what numbers hold": {100, "0,9223372036854775807,1,9223372036854775807", 1 << 20, provisioner.Permanent},
	} {
		t.Run(name, func(t *testing.T) {
			var from io.Reader = bytes.NewReader(hollow(c.size, c.sparse, "data"))
			if c.most > 0 {
				from = limited{from, c.most}
			}
			var out bytes.Buffer
			err := Clean(context.Background(), from, &out, yes)
			if provisioner.ClassOf(err) != c.class || out.Len() > 0 {
				t.Errorf("%v, class %v, %d bytes passed; want class %v and none", err, provisioner.ClassOf(err), out.Len(), c.class)
			}
		})
	}
}

// Files count together.
func TestHolesCountTogether(t *testing.T) {
	one := hollow(1<<20, "0,4,1048576,0", "data")
	two := append(append([]byte{}, one[:len(one)-tarEnd]...), bytes.Replace(one, []byte("disk"), []byte("disc"), 1)...)
	if err := Clean(t.Context(), limited{bytes.NewReader(two), 2<<20 + 100}, io.Discard, yes); err != nil {
		t.Errorf("two that fit: %v", err)
	}
	if err := Clean(t.Context(), limited{bytes.NewReader(two), 2<<20 - 1}, io.Discard, yes); provisioner.ClassOf(err) != provisioner.Permanent {
		t.Errorf("two that do not fit: %v", err)
	}
}
