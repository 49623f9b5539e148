package daemon_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner/fake"
)

const certificatesAt = "/run/bothy/.bothy-ca.pem"

// TestCertificatesOfTheInstallation: whoever is given a sandbox finds them in it, made cold or claimed, and every command is told where
// they are. They come again after a restart, and anew when they changed; those who had their sandbox before get them, too.
func TestCertificatesOfTheInstallation(t *testing.T) {
	var given atomic.Value
	given.Store("first")
	trusting := func(c *daemon.Config) {
		c.Variables = []string{"HTTPS_PROXY=http://proxy:3128"}
		c.Certificates = func() []byte { return []byte(given.Load().(string)) }
	}
	b := setup(t, patient).run()
	before := b.untilState(b.acquire().ID, fleet.Leased)
	if got := b.run1(before.ID, "env"); strings.Contains(got, "SSL_CERT_FILE") {
		t.Errorf("there are none, and a command is told of them: %s", got)
	}
	b.stop()
	b.engine = b.newEngine("daemon-1.b", patient, trusting)
	b.run()

	cold := b.untilState(b.acquire(func(r *service.Request) { r.Secrets = map[string][]byte{"token": []byte("x")} }).ID, fleet.Leased)
	if got := b.run1(cold.ID, "cat", certificatesAt, "/run/bothy/token"); got != "firstx" {
		t.Errorf("made cold: got %q", got)
	}
	b.pool("builders", 1)
	b.untilWarm(1)
	got, err := b.request()
	if err != nil || !got.Claimed {
		t.Fatalf("claimed: %t, %v", got.Claimed, err)
	}
	if got := b.run1(got.Env.ID, "cat", certificatesAt); got != "first" {
		t.Errorf("claimed: got %q", got)
	}
	told := b.run1(cold.ID, "env")
	for _, want := range []string{
		"HTTPS_PROXY=http://proxy:3128", "SSL_CERT_FILE=" + certificatesAt, "NODE_EXTRA_CA_CERTS=" + certificatesAt,
		"REQUESTS_CA_BUNDLE=" + certificatesAt, "CURL_CA_BUNDLE=" + certificatesAt, "GIT_SSL_CAINFO=" + certificatesAt,
	} {
		if !strings.Contains(told+"\n", want+"\n") {
			t.Errorf("a command is not told %s: %s", want, told)
		}
	}
	reads := func(id, want string) {
		t.Helper()
		waitUntil(t, want+" in "+id, func() bool { return b.run1(id, "sh", "-c", "cat "+certificatesAt+" || true") == want })
	}
	reads(before.ID, "first")
	b.sweeps() // one may be under way that began before the hand-overs were over
	calls := b.world.Calls(fake.OpDeliver)
	b.sweeps()
	if more := b.world.Calls(fake.OpDeliver) - calls; more > 0 {
		t.Errorf("%d deliveries to those who have them", more)
	}
	b.clock.advance(time.Second)
	b.must(b.world.RestartOutside(cold.SandboxID))
	reads(cold.ID, "first")
	given.Store("second")
	reads(cold.ID, "second")
	reads(before.ID, "second")
}
