package storetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// crashDSN tells the test binary to be the child that writes until it is killed.
const crashDSN = "BOTHY_STORETEST_CRASH_DSN"

// CrashChild is for the beginning of TestMain: in the child of Crash it writes until it is killed.
func CrashChild() {
	if dsn := os.Getenv(crashDSN); dsn != "" {
		err := writeForever(context.Background(), dsn, os.Getenv(crashDSN+"_ROUND"))
		fmt.Fprintln(os.Stderr, "storetest child:", err)
		os.Exit(1)
	}
}

// Crash starts a child process that writes in a loop, kills it with SIGKILL at
// different points, and checks that what was acknowledged is there and that
// nothing is there by half. The package's TestMain must call CrashChild.
func Crash(t *testing.T, dsn string) {
	var acknowledged []string
	for round := range 8 {
		acknowledged = append(acknowledged, crashOnce(t, dsn, round)...)
		s, err := store.Open(t.Context(), dsn)
		if err != nil {
			t.Fatalf("open after the kill: %v", err)
		}
		checkAfterCrash(t, s, acknowledged)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// crashOnce gives what one child acknowledged before it was killed.
func crashOnce(t *testing.T, dsn string, round int) []string {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), crashDSN+"="+dsn, fmt.Sprintf("%s_ROUND=%d", crashDSN, round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	reader := bufio.NewScanner(out)
	for reader.Scan() {
		lines = append(lines, reader.Text())
		if len(lines) == 20+round*7 {
			// Only after some of the next write, so that the kill meets it at different points.
			time.AfterFunc(time.Duration(round)*300*time.Microsecond, func() { _ = child.Process.Kill() })
		}
	}
	if err := child.Wait(); err == nil || len(lines) < 20 {
		t.Fatalf("the child ended by itself after %d lines: %v", len(lines), err)
	}
	// A line cut off in the middle was not acknowledged.
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, ".") {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// writeForever makes environments, and prints a line after each acknowledged
// write. It ends by an error or a kill.
func writeForever(ctx context.Context, dsn, round string) error {
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		env := environment(n)
		env.ID, env.Name = fmt.Sprintf("r%s-%d", round, n), fmt.Sprintf("r%s-%d", round, n)
		env.Work.Generation = 1
		if _, err := s.Admit(ctx, store.Admission{Env: env, Event: requested(env)}); err != nil {
			return err
		}
		fmt.Println("1", env.ID, ".")
		for range 3 {
			// Each write adds one to the revision, the events, the entries and the attempts.
			got, err := s.Change(ctx, env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.Work.Attempts++
				return store.Writes{
					Events:  []fleet.Event{{At: base, Kind: "tried"}},
					Entries: []ledger.Entry{{At: base, AmountMicros: 1}},
				}, nil
			})
			if err != nil {
				return err
			}
			fmt.Println(got.Revision, env.ID, ".")
		}
		if err := s.SaveState(ctx, env.ID, 1, int64(n), []byte("state of "+env.ID)); err != nil {
			return err
		}
		fmt.Println("state", env.ID, ".")
	}
}

func checkAfterCrash(t *testing.T, s *store.Store, acknowledged []string) {
	t.Helper()
	for _, line := range acknowledged {
		what, id, _ := strings.Cut(strings.TrimSuffix(line, " ."), " ")
		if what == "state" {
			if sealed, _, err := s.LatestState(t.Context(), id); err != nil || string(sealed) != "state of "+id {
				t.Errorf("the acknowledged state of %s is %q, error %v", id, sealed, err)
			}
			continue
		}
		var revision int64
		if _, err := fmt.Sscan(what, &revision); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if env, err := s.Get(t.Context(), id); err != nil || env.Revision < revision {
			t.Errorf("revision %d of %s was acknowledged, %d is there, error %v", revision, id, env.Revision, err)
		}
	}
	live, err := s.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range live {
		events, err := s.Events(t.Context(), env.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := s.Entries(t.Context(), env.ID)
		if err != nil {
			t.Fatal(err)
		}
		// The admission counts for a revision and an event.
		n := int64(env.Work.Attempts)
		if env.Revision != n+1 || int64(len(events)) != n+1 || int64(len(entries)) != n {
			t.Errorf("%s is there by half: %d attempts, revision %d, %d events, %d entries",
				env.ID, n, env.Revision, len(events), len(entries))
		}
	}
}
