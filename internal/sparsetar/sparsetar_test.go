package sparsetar_test

import (
	"archive/tar"
	"bytes"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/sparsetar"
)

// TestHeader: archive/tar reads of it the file that was meant, whatever its parts, and what follows is not disturbed.
func TestHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := tar.Header{
			Name:    rapid.StringMatching(`[a-zé/]{1,300}`).Filter(func(s string) bool { return !strings.HasSuffix(s, "/") }).Draw(t, "name"),
			Mode:    rapid.Int64Range(0, 0o7777).Draw(t, "mode"),
			ModTime: time.Unix(rapid.Int64Range(0, math.MaxInt32*10).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")),
		}
		content, parts := []byte{}, []sparsetar.Part{}
		var stored bytes.Buffer
		for range rapid.IntRange(0, 5).Draw(t, "parts") {
			content = append(content, make([]byte, rapid.IntRange(0, 2000).Draw(t, "hole"))...)
			data := rapid.SliceOfN(rapid.Byte(), 1, 700).Draw(t, "data")
			parts = append(parts, sparsetar.Part{At: int64(len(content)), Length: int64(len(data))})
			content = append(content, data...)
			stored.Write(data)
		}
		content = append(content, make([]byte, rapid.IntRange(0, 2000).Draw(t, "last hole"))...)
		want.Size = int64(len(content))

		var archive bytes.Buffer
		archive.Write(sparsetar.Header(&want, parts))
		archive.Write(stored.Bytes())
		archive.Write(sparsetar.Padding(int64(stored.Len())))
		next := tar.NewWriter(&archive)
		if err := next.WriteHeader(&tar.Header{Name: "next", Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}

		in := tar.NewReader(&archive)
		h, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != want.Name || h.Size != want.Size || h.Mode != want.Mode || !h.ModTime.Equal(want.ModTime) {
			t.Errorf("got %+v, want %+v", h, want)
		}
		if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %d bytes, error %v; want the %d that were meant", len(got), err, len(content))
		}
		if h, err := in.Next(); err != nil || h.Name != "next" {
			t.Errorf("after it: %+v, error %v", h, err)
		}
	})
}

// TestHeaderBeyondOctal: sizes that no ustar header holds are in the PAX records, and a time before 1970 is 1970.
func TestHeaderBeyondOctal(t *testing.T) {
	for _, stored := range []int64{1<<33 - 1, 1 << 33, 1 << 50} {
		want := tar.Header{Name: "disk", Size: 1 << 60, Mode: 0o600, ModTime: time.Unix(-1, 0)}
		in := tar.NewReader(bytes.NewReader(sparsetar.Header(&want, []sparsetar.Part{{At: 1 << 40, Length: stored}})))
		h, err := in.Next()
		if err != nil {
			t.Fatalf("%d bytes stored: %v", stored, err)
		}
		if h.Size != want.Size || h.ModTime.Unix() != 0 {
			t.Errorf("%d bytes stored: size %d, time %v; want %d, 1970", stored, h.Size, h.ModTime, want.Size)
		}
		if size := h.PAXRecords["size"]; (size != "") != (stored > 1<<33-1) {
			t.Errorf("%d bytes stored: the record of the size is %q", stored, size)
		}
	}
}

// TestRecord: a record's length counts its own digits, also where they make one more.
func TestRecord(t *testing.T) {
	got := map[int]string{}
	for _, n := range []int{1, 3, 4, 5, 93, 94, 95} {
		record := sparsetar.Record("k", strings.Repeat("v", n))
		got[n], _, _ = strings.Cut(record, " ")
	}
	want := map[int]string{1: "6", 3: "8", 4: "9", 5: "11", 93: "99", 94: "101", 95: "102"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lengths by bytes of the value (-want +got):\n%s", diff)
	}
}

func TestPadding(t *testing.T) {
	for n, want := range map[int64]int{0: 0, 1: 511, 511: 1, 512: 0, 513: 511} {
		if got := len(sparsetar.Padding(n)); got != want {
			t.Errorf("after %d bytes: %d, want %d", n, got, want)
		}
	}
}
