package daemon_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

const canary = "canary-5f0c9a71d2"

func withCanary(r *service.Request) { r.Secrets = map[string][]byte{"token": []byte(canary)} }

// forms are how a secret may show without being recognised.
func forms(s string) []string {
	all := []string{s, hex.EncodeToString([]byte(s)), fmt.Sprintf("%q", s)}
	for skip := range 3 {
		coded := base64.StdEncoding.EncodeToString(append(make([]byte, skip), s...))
		all = append(all, coded[4:len(coded)-4])
	}
	return all
}

// files gives the database as it is on the disk.
func (b *bench) files() []byte {
	b.t.Helper()
	path := strings.TrimPrefix(b.dsn, "sqlite://")
	var all []byte
	for _, name := range []string{path, path + "-wal"} {
		raw, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			b.t.Fatal(err)
		}
		all = append(all, raw...)
	}
	return all
}

// TestPromiseSecretsAreNowhereInPlain: at no moment between request and delivery, whichever way it goes.
func TestPromiseSecretsAreNowhereInPlain(t *testing.T) {
	var log bytes.Buffer
	b := setup(t, func(c *daemon.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	b.stopped(2)
	look := func(when string) {
		t.Helper()
		raw := b.files()
		for _, form := range forms(canary) {
			if bytes.Contains(raw, []byte(form)) {
				t.Errorf("%s: the database holds %q", when, form)
			}
		}
	}
	// A marker in a variable shows that this search finds what is there.
	marked := func(r *service.Request) { withCanary(r); r.Vars = map[string]string{"MARK": "marker-in-plain"} }

	b.inject(fake.FailBefore(fake.OpDeliver, provisioner.Transient, "not now"))
	claimed, err := b.request(marked)
	if err != nil || !claimed.Claimed {
		t.Fatalf("%+v, %v", claimed, err)
	}
	look("after a claim")
	cold, err := b.request(func(r *service.Request) { marked(r); r.NoPool = true })
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := b.db.Secrets(t.Context(), cold.Env.ID)
	if err != nil || len(sealed) == 0 {
		t.Fatalf("a request that waits keeps no secrets (%v)", err)
	}
	look("while a request waits")
	if raw := b.files(); !bytes.Contains(raw, []byte("marker-in-plain")) || !bytes.Contains(raw, sealed) {
		t.Error("what is in the database is not found: this search would find nothing in plain either")
	}

	b.engine = b.newEngine("daemon-1.b")
	b.run()
	b.untilState(cold.Env.ID, fleet.Leased)
	for _, id := range []string{claimed.Env.ID, cold.Env.ID} {
		if got := b.run1(id, "cat", "/run/bothy/token"); got != canary {
			t.Errorf("the secret reads %q", got)
		}
		if kept, err := b.db.Secrets(t.Context(), id); err != nil || kept != nil {
			t.Errorf("after delivery %d bytes are kept (%v)", len(kept), err)
		}
		if record := b.events(id); strings.Contains(record, canary) {
			t.Error("the record holds it")
		}
	}
	look("after all")
	if strings.Contains(log.String(), canary) {
		t.Error("the log holds it")
	}
}

// TestSecretsAreThereBeforeHandOver: who may use a cold environment finds the secrets.
func TestSecretsAreThereBeforeHandOver(t *testing.T) {
	b := setup(t, brisk).run()
	b.inject(fake.FailBefore(fake.OpDeliver, provisioner.Transient, "a hiccup"))
	env := b.acquire(withCanary)
	b.until(env.ID, "tried again", func(e fleet.Environment) bool {
		if e.State == fleet.Leased {
			t.Error("it was handed over without its secrets")
		}
		return e.Work.Attempts == 1
	})
	b.clock.advance(5 * time.Second) // over the backoff
	b.untilState(env.ID, fleet.Leased)
	if got := b.run1(env.ID, "cat", "/run/bothy/token"); got != canary {
		t.Errorf("the secret reads %q", got)
	}
}

func TestSecretsTellRequestsApart(t *testing.T) {
	b := setup(t)
	ask := func(value string) error {
		_, err := b.request(func(r *service.Request) {
			r.IdempotencyKey, r.Secrets = "k", map[string][]byte{"token": []byte(value)}
		})
		return err
	}
	if err := ask("one"); err != nil {
		t.Fatal(err)
	}
	if err := ask("one"); err != nil {
		t.Errorf("the same secret again: %v", err)
	}
	wantCode(t, ask("two"), fleet.CodeConflict)
}

func TestWrongVarsAndSecretsAreRefused(t *testing.T) {
	b := setup(t)
	many := func(n int) map[string]string {
		all := map[string]string{}
		for i := range n {
			all[fmt.Sprintf("V%d", i)] = "x"
		}
		return all
	}
	files := func(n int) map[string][]byte {
		all := map[string][]byte{}
		for name, v := range many(n) {
			all[name] = []byte(v)
		}
		return all
	}
	vars := func(v map[string]string) func(*service.Request) { return func(r *service.Request) { r.Vars = v } }
	secrets := func(v map[string][]byte) func(*service.Request) { return func(r *service.Request) { r.Secrets = v } }
	named := func(name string) func(*service.Request) { return secrets(map[string][]byte{name: []byte(canary)}) }
	for name, tc := range map[string]struct {
		change func(*service.Request)
		code   fleet.Code
	}{
		"a variable with a dash":        {vars(map[string]string{"A-B": "x"}), fleet.CodeInvalid},
		"a variable that is a digit":    {vars(map[string]string{"1A": "x"}), fleet.CodeInvalid},
		"a variable without a name":     {vars(map[string]string{"": "x"}), fleet.CodeInvalid},
		"a variable with an equals":     {vars(map[string]string{"A=B": "x"}), fleet.CodeInvalid},
		"a value with a zero byte":      {vars(map[string]string{"A": "x\x00y"}), fleet.CodeInvalid},
		"65 variables":                  {vars(many(65)), fleet.CodeInvalid},
		"33 KiB of variables":           {vars(map[string]string{"A": strings.Repeat("x", 33<<10)}), fleet.CodeInvalid},
		"a secret in a folder":          {named("a/b"), fleet.CodeInvalid},
		"a secret that climbs":          {named(".."), fleet.CodeInvalid},
		"a hidden secret":               {named(".bothy"), fleet.CodeInvalid},
		"a secret that is an option":    {named("-rf"), fleet.CodeInvalid},
		"a secret without a name":       {named(""), fleet.CodeInvalid},
		"65 secrets":                    {secrets(files(65)), fleet.CodeInvalid},
		"513 KiB of secrets":            {secrets(map[string][]byte{"a": make([]byte, 513<<10)}), fleet.CodeTooLarge},
		"a secret with a line in it":    {named("a\nb"), fleet.CodeInvalid},
		"a secret of a very long name":  {named(strings.Repeat("a", 129)), fleet.CodeInvalid},
		"a variable of a very long one": {vars(map[string]string{strings.Repeat("A", 257): ""}), fleet.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.request(tc.change)
			wantCode(t, err, tc.code)
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
	if live, err := b.db.Live(t.Context()); err != nil || len(live) != 0 {
		t.Errorf("%d rows (%v), want none", len(live), err)
	}
	if _, err := b.request(vars(many(64)), secrets(files(64))); err != nil {
		t.Errorf("as many as are allowed: %v", err)
	}
}
