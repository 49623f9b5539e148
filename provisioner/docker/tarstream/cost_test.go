package tarstream

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

// TestNamesThatAreTooLongAreRefusedUnseen: the work for one entry is bounded by its bytes, whatever its name or target looks like.
func TestNamesThatAreTooLongAreRefusedUnseen(t *testing.T) {
	deep := strings.Repeat("a/", 500_000)
	for name, h := range map[string]entry{
		"a name 500,000 deep":           file(deep + "x"),
		"a name of dots":                file(strings.Repeat("./", 500_000) + "x"),
		"a target 500,000 up":           link("l", strings.Repeat("../", 300_000)),
		"a target 500,000 deep":         link("l", deep),
		"a hard link's target":          hard("l", deep),
		"one part of 5,000 bytes":       file(strings.Repeat("x", 5000)),
		"a folder 256 deep":             dir(strings.Repeat("a/", 256)),
		"a target of 4,097 bytes":       link("l", strings.Repeat("x", 4097)),
		"a name of nothing but slashes": file("x" + strings.Repeat("/", 300) + "y"),
	} {
		t.Run(name, func(t *testing.T) {
			c := newTarChecker()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := c.entry(&h)
			runtime.ReadMemStats(&after)
			if provisioner.ClassOf(err) != provisioner.Permanent || !strings.Contains(err.Error(), "has more than 4096 bytes or 255 parts") {
				t.Errorf("got %.300v, want it refused for its length", err)
			}
			if c.looked != 0 || len(c.nodes) != 1 || len(err.Error()) > 1000 {
				t.Errorf("%d look-ups, %d names kept, an error of %d bytes; want 0, 1, few", c.looked, len(c.nodes), len(err.Error()))
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
				t.Errorf("%d bytes were allocated, want few", got)
			}
			if err := Clean(t.Context(), bytes.NewReader(pack(t, file("good"), h)), io.Discard, no); provisioner.ClassOf(err) != provisioner.Permanent {
				t.Errorf("in a stream: %.300v", err)
			}
		})
	}
	if err := Clean(t.Context(), bytes.NewReader(pack(t, dir(strings.Repeat("a/", 255)), link("l", strings.Repeat("a/", 254)+"a"))), io.Discard, no); err != nil {
		t.Errorf("as deep as may be: %v", err)
	}
}

// TestTheCheckersWorkIsLinear: look-ups per part of a name are one, and a link's target costs none.
func TestTheCheckersWorkIsLinear(t *testing.T) {
	c := newTarChecker()
	entries := 0
	for i := range 200 {
		for _, h := range []entry{
			file(fmt.Sprintf("%d/%s", i, strings.Repeat("a/", 253)+"x")),
			link(fmt.Sprintf("l%d", i), strings.Repeat("b/", 200)+"x"),
		} {
			if _, err := c.entry(&h); err != nil {
				t.Fatal(err)
			}
			entries++
		}
	}
	if most := entries * (maxNameParts + 2); c.looked > most {
		t.Errorf("%d look-ups for %d entries, want at most %d", c.looked, entries, most)
	}
}

// endless is a tar of small files that never ends. It cancels after some, and counts those that are asked for after that.
type endless struct {
	one    []byte
	rest   []byte
	files  int
	after  int
	cancel context.CancelFunc
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.files++; e.files > 100 {
			e.cancel()
			e.after++
		}
		if e.after > 1000 { // a check that does not end must not keep the test
			return 0, io.ErrUnexpectedEOF
		}
		e.rest = e.one
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// TestTheCheckEndsWithItsRequest: also when the stream would go on for ever.
func TestTheCheckEndsWithItsRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	from := &endless{one: b.Bytes(), cancel: cancel}
	if err := Clean(ctx, from, io.Discard, no); provisioner.ClassOf(err) != provisioner.Cancelled {
		t.Errorf("got %v, want class cancelled", err)
	}
	if from.after > 2 {
		t.Errorf("%d entries were read after the request had ended", from.after)
	}
}
