package docker_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/sparsetar"
)

// TestHolesInAndOut: a file with holes has them inside, comes back as it was, and is small on the way, where the sandbox's tar is GNU's.
// Another tar makes a file of zeros of it.
func TestHolesInAndOut(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	version, _, _ := e.run(id, "tar --version 2>/dev/null | head -1")
	gnu := strings.HasPrefix(version, "tar (GNU tar)")
	t.Logf("the sandbox's tar: %s", strings.TrimSpace(version))
	const size, at = 64 << 20, 10 << 20
	var stream bytes.Buffer
	stream.Write(sparsetar.Header(&tar.Header{Name: "disk", Size: size, Mode: 0o640, ModTime: time.Unix(1_000_000_000, 0)}, []sparsetar.Part{{At: at, Length: 4}}))
	stream.WriteString("data" + string(sparsetar.Padding(4)))
	next := tar.NewWriter(&stream)
	if err := errors.Join(next.WriteHeader(&tar.Header{Name: "next", Size: 4, Mode: 0o644}), func() error { _, err := next.Write([]byte("next")); return err }(), next.Close()); err != nil {
		t.Fatal(err)
	}
	if err := e.CopyTo(t.Context(), id, "/home/dev", "dev", &stream); err != nil {
		t.Fatal(err)
	}
	out, _, _ := e.run(id, "cd /home/dev; stat -c '%s %b' disk; cat next; tr -d '\\000' <disk")
	var apparent, blocks int64
	var rest string
	if _, err := fmt.Sscanf(out, "%d %d\n%s", &apparent, &blocks, &rest); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if apparent != size || rest != "nextdata" {
		t.Errorf("inside it is %q", out)
	}
	if gnu && blocks*512 > 1<<20 {
		t.Errorf("inside it takes %d bytes of the disk", blocks*512)
	}
	back, err := e.CopyFrom(t.Context(), id, "/home/dev/disk", "dev")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	raw, err := io.ReadAll(back)
	if err != nil {
		t.Fatal(err)
	}
	if gnu && len(raw) > 1<<20 {
		t.Errorf("%d bytes came back", len(raw))
	}
	in := tar.NewReader(bytes.NewReader(raw))
	h, err := in.Next()
	if err != nil || h.Name != "disk" || h.Size != size {
		t.Fatalf("%+v, %v", h, err)
	}
	content, err := io.ReadAll(in)
	want := make([]byte, size)
	copy(want[at:], "data")
	if err != nil || !bytes.Equal(content, want) {
		t.Errorf("another file of %s bytes came back, %v", strconv.Itoa(len(content)), err)
	}
}
