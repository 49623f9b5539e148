package terraform_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// open makes a driver that is closed with the test.
func open(t *testing.T, cfg terraform.Config) *terraform.Driver {
	t.Helper()
	d, err := terraform.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second) // Background: the test's has ended
		defer stop()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return d
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{t}, nil))
}

// blueprint digests a folder.
func blueprint(t *testing.T, dir string) provisioner.Blueprint {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		h.Write([]byte(path))
		h.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return provisioner.Blueprint{Name: filepath.Base(dir), Version: "1.0.0", Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Dir: dir}
}

// recorder is an observer.
type recorder struct {
	mu     sync.Mutex
	events []provisioner.Event
}

func (r *recorder) add(e provisioner.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) all() []provisioner.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// want counts events of a kind: "created", "gone", "error", "warning", or those whose message contains it.
func (r *recorder) want(t *testing.T, kind string, n int) {
	t.Helper()
	got := 0
	for _, e := range r.all() {
		if kind == "created" && e.ResourceCreated || kind == "gone" && e.ResourceGone || kind == "error" && e.Error ||
			kind == "warning" && strings.HasPrefix(e.Message, "Warning: ") || strings.Contains(e.Message, kind) {
			got++
		}
	}
	if got != n {
		t.Errorf("%d events %q, want %d: %+v", got, kind, n, r.all())
	}
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !cond(); time.Sleep(5 * time.Millisecond) { // between two looks
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// wantError checks class and sentence; a sentence with $ at its end must end there.
func wantError(t *testing.T, err error, class provisioner.Class, unavailable bool, sentence string) {
	t.Helper()
	if got := provisioner.ClassOf(err); got != class {
		t.Errorf("class %q, want %q: %v", got, class, err)
	}
	if got := provisioner.IsUnavailable(err); got != unavailable {
		t.Errorf("unavailable %v, want %v: %v", got, unavailable, err)
	}
	sentence, ends := strings.CutSuffix(sentence, "$")
	if got := provisioner.Sentence(err); !strings.Contains(got, sentence) || ends && !strings.HasSuffix(got, sentence) {
		t.Errorf("sentence %q, want one with %q", got, sentence)
	}
}
