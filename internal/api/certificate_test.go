package api_test

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/service"
)

// A renewed certificate is served without a restart; a wrong one leaves the old one in force, and the log and doctor say so.
func TestARenewedCertificateIsServed(t *testing.T) {
	dir, tcp := withTCP(t)
	r := start(t, newDouble(), tcp)
	served := func() int64 {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", r.server.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the serial alone is looked at
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	far := time.Now().Add(90 * 24 * time.Hour)
	other := shortDir(t)
	certify(t, other, 9, far)
	read := func(dir, name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	key := filepath.Join(dir, "key.pem")
	for _, step := range []struct {
		name         string
		change       func()
		serial       int64
		status, says string
	}{
		{"as it was", func() {}, 1, "ok", "valid until"},
		{"renewed", func() { certify(t, dir, 2, far) }, 2, "ok", "valid until"},
		{"half renewed", func() { put(t, dir, "cert.pem", read(other, "cert.pem")) }, 2, "warning", "serving the old one"},
		{"renewed whole", func() { put(t, dir, "key.pem", read(other, "key.pem")) }, 9, "ok", "valid until"},
		{"no certificate", func() { put(t, dir, "cert.pem", "x") }, 9, "warning", "serving the old one"},
		{"a key that all may read", func() { certify(t, dir, 3, far); chmod(t, key, 0o644) }, 9, "warning", "mode 0644"},
		{"closed again", func() { chmod(t, key, 0o600) }, 3, "ok", "valid until"},
		{"gone", func() { _ = os.Remove(key) }, 3, "warning", "serving the old one"},
		{"15 days", func() { certify(t, dir, 4, time.Now().Add(15*24*time.Hour)) }, 4, "ok", "valid until"},
		{"13 days", func() { certify(t, dir, 5, time.Now().Add(13*24*time.Hour+time.Hour)) }, 5, "warning", "expires in 13 days"},
		{"ended", func() { certify(t, dir, 6, time.Now().Add(-time.Hour)) }, 6, "failed", "expired at"},
	} {
		step.change()
		if got := served(); got != step.serial {
			t.Errorf("%s: serial %d is served, want %d", step.name, got, step.serial)
		}
		if c := certificateCheck(t, r); c.Status != step.status || !strings.Contains(c.Message, step.says) {
			t.Errorf("%s: doctor says %+v", step.name, c)
		}
	}
	if n := strings.Count(r.log.String(), "cannot load the new TLS certificate"); n < 4 || n > 8 {
		t.Errorf("logged %d times", n)
	}
	contains(t, r.log.String(), "reloaded the TLS certificate")
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func certificateCheck(t *testing.T, r *rig) wire.Check {
	t.Helper()
	_, body := r.raw("GET", "/v1/doctor", nil)
	var h wire.Health
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		t.Fatal(err)
	}
	for _, c := range h.Checks {
		if c.Name == "certificate" {
			return c
		}
	}
	t.Fatalf("no certificate in %s", body)
	return wire.Check{}
}

// Members read no causes: those name the daemon's files and other tenants' things.
func TestMembersReadNoCauses(t *testing.T) {
	d := newDouble()
	d.checks = []service.Check{
		{Name: "store", Status: service.OK, Message: "fine at /var/lib/x"},
		{Name: "organisation", Status: service.Warning, Message: "read /var/lib/x/org.yaml", Hint: "mend /var/lib/x/org.yaml"},
		{Name: "docker", Status: service.Down, Message: "dial /var/lib/x", Hint: "look at /var/lib/x"},
	}
	dir, people := withPeople(t)
	r := start(t, d, people)
	for _, path := range []string{"/v1/doctor", "/readyz"} {
		for user, causes := range map[string]bool{"ada": false, "bob": false, "root": true} {
			_, body := send(t, trust(t, dir), "GET", "https://"+r.server.Addr().String()+path, nil, "Authorization", "Bearer "+user)
			if strings.Contains(body, "/var/lib") != causes || strings.Contains(body, dir) {
				t.Errorf("%s for %s: %s", path, user, body)
			}
			for _, want := range []string{`"name":"docker"`, `"status":"failed"`, `"status":"warning"`, `"ready":false`, `"name":"certificate"`} {
				contains(t, body, want)
			}
		}
	}
}

// Ids of requests tell nothing of other requests. HEAD is answered where GET is, and by no stream.
func TestRequestIdsAreRandomAndHeadIsAnswered(t *testing.T) {
	d := newDouble().add(leased("otter"))
	r := start(t, d)
	seen := map[string]bool{}
	for range 20 {
		resp, _ := r.raw("GET", "/v1/version", nil)
		id := resp.Header.Get("X-Request-Id")
		if len(id) < 20 || seen[id] || seen[id[:8]] {
			t.Errorf("id %q", id)
		}
		seen[id], seen[id[:8]] = true, true
	}
	for path, status := range map[string]int{
		"/healthz": 200, "/v1/version": 200, "/v1/environments": 200, "/v1/environments/otter": 200, "/v1/environments/nix": 404, "/v1/nix": 404, "/v1/quote": 405,
		"/v1/environments/otter/watch": 405, "/v1/environments/otter/logs": 405, "/v1/environments/otter/exec": 405, "/v1/environments/otter/files?path=/a": 405, "/v1/events/follow": 405,
	} {
		if resp, body := r.raw("HEAD", path, nil); resp.StatusCode != status || body != "" {
			t.Errorf("HEAD %s: %d %q, want %d", path, resp.StatusCode, body, status)
		}
	}
}
