package api_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/auth"
	"github.com/bothy-env/bothy/internal/client"
)

func TestTCPNeedsAKnownToken(t *testing.T) {
	dir, tcp := withTCP(t)
	r := start(t, newDouble(), tcp)
	base := "https://" + r.server.Addr().String()
	for _, c := range []struct {
		name, path, authorization string
		status                    int
	}{
		{"none", "/v1/version", "", 401},
		{"wrong", "/v1/version", "Bearer sesam", 401},
		{"empty", "/v1/version", "Bearer ", 401},
		{"another scheme", "/v1/version", "Basic sesame", 401},
		{"the hash itself", "/v1/version", "Bearer " + strings.Fields(tokenLine("eve", "sesame"))[1], 401},
		{"none, for readyz", "/readyz", "", 401},
		{"none, for the document", "/openapi.json", "", 401},
		{"none, for a route that is not there", "/v3", "", 401},
		{"none, for healthz", "/healthz", "", 200},
		{"right", "/v1/version", "bearer sesame", 200},
	} {
		resp, body := send(t, trust(t, dir), "GET", base+c.path, nil, "Authorization", c.authorization)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
		}
		if c.status == 401 {
			if p := problemIn(t, resp, body); p.Code != "unauthenticated" || resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %+v %v", c.name, p, resp.Header)
			}
		}
	}
	c := r.clientOf(client.Options{Host: base, Token: "sesame", CAFile: filepath.Join(dir, "cert.pem")})
	if _, _, err := c.Create(limited(t), wire.CreateRequest{Name: "otter"}, ""); err != nil {
		t.Fatal(err)
	}
	if got := r.engine.requests[0].Who.User; got != "eve" {
		t.Errorf("the owner is %q", got)
	}
}

func TestTheTokenFileIsReadAnewWhenItChanges(t *testing.T) {
	dir, tcp := withTCP(t)
	r := start(t, newDouble(), tcp)
	status := func(token string) int {
		resp, _ := send(t, trust(t, dir), "GET", "https://"+r.server.Addr().String()+"/v1/version", nil, "Authorization", "Bearer "+token)
		return resp.StatusCode
	}
	path := filepath.Join(dir, "tokens")
	for _, step := range []struct {
		name        string
		change      func() error
		sesame, new int
	}{
		{"as it was", func() error { return nil }, 200, 401},
		{"one more, of the same name", func() error {
			return os.WriteFile(path, []byte(tokenLine("eve", "sesame")+tokenLine("eve", "new")), 0o600)
		}, 200, 200},
		{"the old one gone", func() error { return os.WriteFile(path, []byte(tokenLine("eve", "new")), 0o600) }, 401, 200},
		{"open to the group", func() error { return os.Chmod(path, 0o640) }, 503, 503},
		{"closed again", func() error { return os.Chmod(path, 0o600) }, 401, 200},
		{"half a line", func() error { return os.WriteFile(path, []byte(tokenLine("eve", "new")+"ada 12ab"), 0o600) }, 503, 503},
		{"gone", func() error { return os.Remove(path) }, 503, 503},
		{"back", func() error { return os.WriteFile(path, []byte(tokenLine("eve", "sesame")), 0o600) }, 200, 401},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		if s, n := status("sesame"), status("new"); s != step.sesame || n != step.new {
			t.Errorf("%s: sesame %d, new %d; want %d, %d", step.name, s, n, step.sesame, step.new)
		}
	}
	contains(t, r.log.String(), "mode 0640")
	contains(t, r.log.String(), "line 2: want 64 hex digits after ada")
}

func TestATokenFileIsCheckedLineByLine(t *testing.T) {
	hash := strings.Fields(tokenLine("x", "y"))[1]
	for _, c := range []struct{ content, want string }{
		{"", ""},
		{"# note\n\n  eve   " + hash + "  \r\n", ""},
		{"eve", "line 1"},
		{"# a\neve " + hash + " more", "line 2"},
		{"eve sesame", "never the token itself"},
		{"eve " + hash[:62], "64 hex digits"},
		{"../eve " + hash, "line 1"},
		{strings.Repeat("#", 2<<20), "bytes"},
	} {
		_, err := auth.OpenTokens(put(t, t.TempDir(), "tokens", c.content))
		if c.want == "" && err != nil {
			t.Errorf("%.40q: %v", c.content, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(errors.Unwrap(err).Error(), c.want)) {
			t.Errorf("%.40q: %v, want %q", c.content, err, c.want)
		}
	}
}

func TestTCPIsNeverOpenedWithoutTLSAndTokens(t *testing.T) {
	dir, tcp := withTCP(t)
	for name, spoil := range map[string]func(*api.Config){
		"no certificate": func(c *api.Config) { c.TLSCert = "" },
		"no key":         func(c *api.Config) { c.TLSKey = "" },
		"no tokens":      func(c *api.Config) { c.TokenFile = "" },
		"missing tokens": func(c *api.Config) { c.TokenFile = filepath.Join(dir, "nix") },
		"a wrong key":    func(c *api.Config) { c.TLSKey = c.TokenFile },
		"a key that everybody may read": func(c *api.Config) {
			c.TLSKey = put(t, dir, "loose.pem", "x")
			if err := os.Chmod(c.TLSKey, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"nothing at all": func(c *api.Config) { *c = api.Config{} },
	} {
		cfg := api.Config{}
		tcp(&cfg)
		spoil(&cfg)
		if _, err := api.New(cfg, newDouble().services()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRequestsFromWebPagesAreRefused(t *testing.T) {
	dir, tcp := withTCP(t)
	r := start(t, newDouble(), tcp, func(c *apiConfig) { c.AllowedHosts = []string{"bothy.example.com"} })
	base := "https://" + r.server.Addr().String()
	for _, c := range []struct {
		name   string
		header []string
		status int
	}{
		{"its own address", nil, 200},
		{"localhost", []string{"Host", "localhost:1"}, 200},
		{"an allowed name", []string{"Host", "Bothy.Example.Com."}, 200},
		{"a name that was bound anew", []string{"Host", "evil.example.com"}, 403},
		{"another's address", []string{"Host", "10.0.0.1"}, 403},
		{"an origin", []string{"Origin", "https://evil.example.com"}, 403},
		{"its own origin", []string{"Origin", base}, 403},
		{"no origin in words", []string{"Origin", "null"}, 403},
	} {
		resp, body := send(t, trust(t, dir), "GET", base+"/v1/version", nil, append(c.header, "Authorization", "Bearer sesame")...)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
		}
		if resp.StatusCode == 403 && problemIn(t, resp, body).Code != "policy" {
			t.Errorf("%s: %s", c.name, body)
		}
		for h := range resp.Header {
			if strings.HasPrefix(h, "Access-Control-") {
				t.Errorf("%s: header %s", c.name, h)
			}
		}
	}
	for _, path := range []string{"/healthz", "/v1/environments/otter/exec"} {
		if resp, _ := r.raw("GET", path, nil, "Origin", "https://evil.example.com"); resp.StatusCode != 403 {
			t.Errorf("%s with an origin over the socket: %d", path, resp.StatusCode)
		}
	}
}

func TestPlainHTTPAtTheTLSPortGetsNothing(t *testing.T) {
	_, tcp := withTCP(t)
	r := start(t, newDouble(), tcp)
	resp, body := send(t, &http.Transport{}, "GET", "http://"+r.server.Addr().String()+"/healthz", nil)
	if resp.StatusCode != 400 || strings.Contains(body, "ok") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	conn, err := tls.Dial("tcp", r.server.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}) //nolint:gosec // the very thing under test
	if err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestASlowHeadIsCutOff(t *testing.T) {
	r := start(t, newDouble(), func(c *apiConfig) { c.HeaderTimeout = 100 * time.Millisecond })
	conn := r.dial()
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the server did not hang up: %v", err)
	}
}

func TestASlowBodyIsCutOff(t *testing.T) {
	r := start(t, newDouble(), func(c *apiConfig) { c.HeaderTimeout = 100 * time.Millisecond })
	conn := r.dial()
	fmt.Fprint(conn, "POST /v1/environments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if p := problemIn(t, resp, string(body)); resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%d %+v", resp.StatusCode, p)
	}
}

func TestABodyThatBreaksOffIsTheSendersFault(t *testing.T) {
	r := start(t, newDouble())
	conn := r.dial()
	fmt.Fprint(conn, "POST /v1/environments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if p := problemIn(t, resp, string(body)); p.Code != "invalid" {
			t.Errorf("%d %+v", resp.StatusCode, p)
		}
	}
	if len(r.engine.requests) != 0 {
		t.Error("the engine was asked")
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("logged as a fault of our own:\n%s", r.log)
	}
}

func TestAHeadTooLargeIsRefused(t *testing.T) {
	r := start(t, newDouble())
	conn := r.dial()
	fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 80<<10))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestAnIdempotencyKeyHasALimit(t *testing.T) {
	r := start(t, newDouble())
	resp, body := r.raw("POST", "/v1/environments", strings.NewReader("{}"), "Idempotency-Key", strings.Repeat("k", 201))
	p := problemIn(t, resp, body)
	if diff := cmp.Diff([]wire.ProblemPlace{{Location: "header.Idempotency-Key", Message: "expected length <= 200"}}, p.Errors); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}
