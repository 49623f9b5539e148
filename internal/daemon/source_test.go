package daemon_test

import (
	"archive/tar"
	"bytes"
	"slices"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

// tarred is an archive of one file.
func tarred(t *testing.T, name string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// TestWhetherSourceWasCopied: an environment that nobody copied anything to says so; the first copy to its workspace is recorded,
// once, with who made it. A copy elsewhere, or one that failed, is none.
func TestWhetherSourceWasCopied(t *testing.T) {
	b := setup(t, patient).run()
	waiting := b.acquire()
	if got, err := b.engine.Source(t.Context(), waiting); err != nil || waiting.Lease.Held() || got != (fleet.Source{}) {
		t.Errorf("before the hand-over: %+v, %v", got, err)
	}
	env := b.untilState(waiting.ID, fleet.Leased)
	is := func(want fleet.SourceState) fleet.Source {
		t.Helper()
		got, err := b.engine.Source(t.Context(), env)
		if err != nil || got.State != want {
			t.Errorf("source is %+v, %v; want %s", got, err, want)
		}
		return got
	}
	is(fleet.SourceNone)
	b.must(b.engine.CopyTo(t.Context(), ann, env.ID, "/tmp", "", tarred(t, "a")))
	if err := b.engine.CopyTo(t.Context(), ann, env.ID, "", "", bytes.NewBufferString("no archive")); err == nil {
		t.Error("no archive was copied")
	}
	is(fleet.SourceNone)
	b.must(b.engine.CopyTo(t.Context(), ann, env.ID, "", "", tarred(t, "a")))
	b.must(b.engine.CopyTo(t.Context(), ann, env.ID, env.Workspace, "", tarred(t, "b")))
	if got := is(fleet.SourceCopied); got.By != ann.User || got.At.IsZero() {
		t.Errorf("source is %+v, want that of %s", got, ann.User)
	}
	if n := len(slices.DeleteFunc(b.kinds(env.ID), func(kind string) bool { return kind != "source.copied" })); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}
