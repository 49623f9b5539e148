package e2e_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// TestWrongRequests: each is answered with its exit code, what was wrong and what is allowed, and nothing is made.
func TestWrongRequests(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	d.bothy("up", "--source", "none", "--name", "taken").want(t, 0)
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		texts []string
	}{
		{"a name already taken", []string{"--name", "taken"}, 1, []string{"taken"}},
		{"a name that is none", []string{"--name", "No Name/../x"}, 2, []string{"No Name/../x", "lower-case"}},
		{"ttl of 0", []string{"--ttl", "0"}, 2, []string{"--ttl", `"0"`}},
		{"ttl of 0s", []string{"--ttl", "0s"}, 2, []string{"--ttl", `"0s"`}},
		{"negative ttl", []string{"--ttl", "-5m"}, 2, []string{"--ttl", `"-5m"`}},
		{"ttl above the maximum", []string{"--ttl", "9h"}, 4, []string{"9h", "8h"}},
		{"ttl beyond all time", []string{"--ttl", "99999999999999999999h"}, 2, []string{"--ttl"}},
		{"unknown blueprint", []string{"--blueprint", "biuld"}, 3, []string{"biuld", "build"}},
		{"unknown size", []string{"--size", "huge"}, 2, []string{"huge", "small"}},
		{"unknown input", []string{"--param", "shm_mb=64"}, 2, []string{"shm_mb", "shm_mib"}},
		{"an input of the wrong type", []string{"--param", "shm_mib=lots"}, 2, []string{"shm_mib", "lots"}},
		{"an input out of its limits", []string{"--param", "shm_mib=1025"}, 2, []string{"shm_mib", "1025", "1024"}},
		{"an input that is no key=value", []string{"--param", "shm_mib"}, 2, []string{"key=value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := d.bothy(append([]string{"up", "--source", "none"}, c.args...)...)
			r.want(t, c.code, c.texts...)
			if r.out != "" {
				t.Errorf("an error belongs on stderr, and stdout has %q", r.out)
			}
		})
	}
	all, err := d.client.List(t.Context(), client.ListOptions{All: true})
	if err != nil || len(all) != 1 {
		t.Errorf("%d environments, %v; want only the one of before", len(all), err)
	}
}

// TestWrongTTLsOverTheAPI: numbers that the command line would not send.
func TestWrongTTLsOverTheAPI(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	for ttl, code := range map[int64]string{
		0: wire.CodeInvalid, -1: wire.CodeInvalid, math.MinInt64: wire.CodeInvalid,
		8*3600 + 1: wire.CodePolicy, math.MaxInt64/int64(time.Second) + 1: wire.CodePolicy, math.MaxInt64: wire.CodePolicy,
	} {
		_, _, err := d.client.Create(t.Context(), wire.CreateRequest{TTLSeconds: &ttl}, "")
		if got := client.CodeOf(err); got != code {
			t.Errorf("ttl of %d s: %v (code %q), want code %q", ttl, err, got, code)
		}
	}
	d.bothy("up", "--source", "none", "--name", "web").want(t, 0)
	for _, by := range []string{"8h", "0s", "-1h"} {
		before := d.untilState("web", "leased").Lease.End
		if r := d.bothy("extend", "web", "--by", by); r.code != 4 && r.code != 2 {
			t.Errorf("want it refused: %s", r)
		}
		if after := d.untilState("web", "leased").Lease.End; !after.Equal(*before) {
			t.Errorf("extended by %s all the same, from %s to %s", by, before, after)
		}
	}
}

// yamlBomb says in a few lines what would be a billion values.
func yamlBomb() string {
	var b strings.Builder
	b.WriteString("version: 1\nparams:\n  a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for i := 1; i < 9; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	return b.String()
}

// TestHostileSpecs: each is refused quickly, with its place, by check and by up, before anything is asked of the daemon.
func TestHostileSpecs(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	for name, text := range map[string]string{
		"bomb":      yamlBomb(),
		"deep":      "version: 1\nparams: " + strings.Repeat("[", 100_000) + "\n",
		"deep map":  "version: 1\nparams: " + strings.Repeat("{a: ", 100_000) + "\n",
		"large":     "version: 1\nname: " + strings.Repeat("a", 300<<10) + "\n",
		"binary":    "version: 1\nname: \x00\x01\x02\n",
		"duplicate": "version: 1\nname: a\nname: b\n",
		"unknown":   "version: 1\nblueprnt: build\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "bothy.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"spec", "check"}, {"up", "--source", "none"}} {
				begun := time.Now()
				d.bothyIn(dir, nil, args...).want(t, 2, "bothy.yaml:", "got", "want")
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("bothy %v took %s to refuse it", args, took)
				}
			}
		})
	}
	if all, err := d.client.List(t.Context(), client.ListOptions{All: true}); err != nil || len(all) != 0 {
		t.Errorf("%d environments, %v; want none", len(all), err)
	}
}

// TestWrongValuesOfASpecHaveTheirPlace: what only the daemon can judge is told with its place, unless a flag said it.
func TestWrongValuesOfASpecHaveTheirPlace(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	for _, c := range []struct {
		name, text string
		args       []string
		code       int
		want       string
	}{
		{"size", "size: huge\n", nil, 2, `bothy: bothy.yaml:2:7: blueprint build@1.1.0 has no size "huge"`},
		{"size by a flag", "size: small\n", []string{"--size", "huge"}, 2, `bothy: blueprint build@1.1.0 has no size "huge"`},
		{"ttl", "ttl: 9h\n", nil, 4, "bothy: bothy.yaml:2:6: ttl 9h"},
		{"ttl by a flag", "ttl: 1h\n", []string{"--ttl", "9h"}, 4, "bothy: ttl 9h"},
		{"idle", "ttl: 1h\nidle: 2h\n", nil, 2, "bothy: bothy.yaml:3:7: idle timeout 2h"},
		{"name", "name: web-\n", nil, 2, `bothy.yaml:2:7: name: got "web-", want a name`},
		{"blueprint", "blueprint: biuld\n", nil, 3, `bothy: bothy.yaml:2:12: there is no blueprint "biuld"`},
		{"inputs", "params:\n  shm_mib: 1025\n  shm_mb: 1\n", nil, 2, `bothy: bothy.yaml:3:12: input shm_mib: got 1025, want an integer from 16 to 1024; bothy.yaml:4:11: input "shm_mb": got`},
		{"one input by a flag", "params:\n  shm_mib: 64\n  shm_mb: 1\n", []string{"--param", "shm_mib=1025"}, 2, `bothy: input shm_mib: got "1025", want an integer from 16 to 1024; bothy.yaml:4:11: input "shm_mb": got`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "bothy.yaml"), "version: 1\n"+c.text)
			for _, more := range [][]string{{"--source", "none"}, {"--source", "none", "--dry-run"}} {
				r := d.bothyIn(dir, nil, append(append([]string{"up"}, more...), c.args...)...)
				r.want(t, c.code, c.want)
			}
		})
	}
}

// TestExecAsSomebodyElse: the users that there are, as a person would list them.
func TestExecAsSomebodyElse(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	d.bothy("up", "--source", "none", "--name", "web").want(t, 0)
	d.bothy("exec", "web", "-u", "bob", "--", "true").want(t, 4, `"bob"`, "hint: allowed: dev, root\n")
}

// TestDownOfWhatIsGoingOrGone: success each time, by name and by id, also all at once; what never was is not found.
func TestDownOfWhatIsGoingOrGone(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	d.bothy("up", "--source", "none", "--name", "web").want(t, 0)
	env, err := d.get("web")
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	results := make([]result, 4)
	for i := range results {
		callers.Go(func() { results[i] = d.bothy("down", "web") })
	}
	callers.Wait()
	for _, r := range results {
		r.want(t, 0, "Deleted ")
	}
	d.bothy("down", "web").want(t, 0, "Deleted ")
	d.bothy("down", env.ID, env.ID).want(t, 0, "Deleted ")
	d.bothy("down", "never").want(t, 3, "never")
	d.wantPresent(time.Now())
	released := 0
	events, err := d.client.Events(t.Context(), env.ID, 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == "environment.released" {
			released++
		}
	}
	if released != 1 {
		t.Errorf("the record says %d times that it was given back, want once", released)
	}
	// The name is free again.
	d.bothy("up", "--source", "none", "--name", "web").want(t, 0)
	d.bothy("exec", env.ID, "--", "true").want(t, 1, "destroyed")
}
