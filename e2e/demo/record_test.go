package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var someTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// begin starts a run in folders of the test's own.
func begin(t *testing.T, home string) *run {
	t.Helper()
	r, err := beginRun(home, t.TempDir(), "unix:///engine.sock", someTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.lock.Close() }) // some tests have closed it
	return r
}

func TestARecordOutlivesItsRun(t *testing.T) {
	home := filepath.Join(t.TempDir(), "demo")
	r := begin(t, home)
	if at, err := os.Stat(r.Temp); err != nil || at.Mode().Perm() != 0o700 {
		t.Fatalf("temporary folder: %v, %v; want it there and closed to others", at, err)
	}
	r.Instance, r.Flags = "aaaa2222", []string{"--network-isolation", "off"}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	if _, err := openRun(r.dir); !errors.Is(err, errAtWork) {
		t.Errorf("a run at work was opened: %v", err)
	}
	if err := r.lock.Close(); err != nil { // as the kernel does when the process dies
		t.Fatal(err)
	}
	again, err := openRun(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.lock.Close()
	if diff := cmp.Diff(r.record, again.record); diff != "" {
		t.Errorf("record (-written +read):\n%s", diff)
	}
	if err := errors.Join(again.forget(), again.forget()); err != nil {
		t.Errorf("forgetting twice: %v", err)
	}
}

// What a record names gets removed.
func TestARecordThatNamesAnotherFolderIsRefused(t *testing.T) {
	for _, temp := range []string{"", "/", "/home", "bothy-demo-x", "/tmp/bothy-demo-x/..", "/tmp/bothy-demox/sub"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, recordName), []byte(`{"temp":"`+temp+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := openRun(dir); err == nil || r != nil {
			t.Errorf("a record with the folder %q was taken", temp)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, recordName), []byte(`{"temp":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := openRun(dir); err == nil || r != nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a record was taken: %v", err)
	}
}

func TestATemporaryFolderThatIsThereIsNotTaken(t *testing.T) {
	temp := t.TempDir()
	r, err := beginRun(t.TempDir(), temp, "", someTime)
	if err != nil {
		t.Fatal(err)
	}
	defer r.lock.Close()
	if err := os.Mkdir(r.Temp, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want the folder to be there, once", err)
	}
	if !strings.HasPrefix(r.Temp, temp+"/bothy-demo-") {
		t.Errorf("temporary folder %s", r.Temp)
	}
}

func TestASocketsPathIsNeverTooLong(t *testing.T) {
	for _, dir := range []string{"/tmp", "/var/folders/" + strings.Repeat("x", 80)} {
		t.Setenv("TMPDIR", dir)
		r := &run{record: record{Temp: filepath.Join(tempFolder(), "bothy-demo-20260102-030405-4294967295")}}
		if got := len(r.socket()); got > 107 {
			t.Errorf("with TMPDIR=%s the socket's path has %d bytes", dir, got)
		}
	}
}

func TestHomeIsInTheCache(t *testing.T) {
	t.Setenv("BOTHY_CACHE", "/somewhere/cache")
	if got, err := home(); err != nil || got != "/somewhere/cache/demo" {
		t.Errorf("home = %q, %v", got, err)
	}
	t.Setenv("BOTHY_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	if got, err := home(); err != nil || got != "/xdg/bothy/demo" {
		t.Errorf("home = %q, %v", got, err)
	}
}

// Logs go when the next demo begins; whatever may still be needed to clean up stays.
func TestOldLogsGoAndRecordsStay(t *testing.T) {
	home := filepath.Join(t.TempDir(), "demo")
	done, cut, atWork := begin(t, home), begin(t, home), begin(t, home)
	if err := errors.Join(done.forget(), done.lock.Close(), cut.lock.Close()); err != nil {
		t.Fatal(err)
	}
	n, out, _ := mute()
	if err := dropOldLogs(home, n); err != nil {
		t.Fatal(err)
	}
	for r, want := range map[*run]bool{done: false, cut: true, atWork: true} {
		if _, err := os.Stat(r.dir); (err == nil) != want {
			t.Errorf("folder of %s is there: %t, want %t", r.Temp, err == nil, want)
		}
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, cut.Temp) || !strings.Contains(got, "make demo-clean") {
		t.Errorf("said %q, want the one that could not clean up, and how to", got)
	}
	if err := dropOldLogs(filepath.Join(home, "none"), n); err != nil {
		t.Errorf("where no demo ever was: %v", err)
	}
}
