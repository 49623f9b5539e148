package client_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// proxy is an HTTP proxy that leads every tunnel to one address, and remembers what was asked for.
type proxy struct {
	url string
	mu  sync.Mutex
	to  []string
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{}
	var tunnels sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.to = append(p.to, r.Method+" "+r.Host)
		p.mu.Unlock()
		far, err := net.Dial("tcp", target)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = far.Close()
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
			tunnels.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			})
		}
	}))
	t.Cleanup(func() {
		tunnels.Wait()
		server.Close()
	})
	p.url = server.URL
	return p
}

func (p *proxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.to...)
}

// daemonOfTwoWords answers a version, and an exec with exit code 3.
func daemonOfTwoWords(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"version":"x"}`)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.ExecProtocol}})
	if err != nil {
		return
	}
	defer conn.CloseNow() //nolint:errcheck // the client closes first
	_, _, _ = conn.Read(r.Context())
	_ = conn.Write(r.Context(), websocket.MessageBinary, append([]byte{wire.ExecExit}, `{"exit_code":3}`...))
	_, _, _ = conn.Read(r.Context()) // until the client has gone
}

// TestProxyVariables: calls and execs go where the usual variables say; loopback and NO_PROXY's names do not.
func TestProxyVariables(t *testing.T) {
	server, ca := tlsServer(t, daemonOfTwoWords)
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	const host = "https://example.com:18443" // a name in the server's certificate, reached by the proxy alone
	for name, c := range map[string]struct {
		host string
		vars map[string]string // "P" is the proxy's address
		want bool
	}{
		"HTTPS_PROXY":              {host, map[string]string{"HTTPS_PROXY": "P"}, true},
		"https_proxy":              {host, map[string]string{"https_proxy": "P"}, true},
		"ALL_PROXY":                {host, map[string]string{"ALL_PROXY": "P"}, true},
		"without a scheme":         {host, map[string]string{"HTTPS_PROXY": "P"}, true},
		"loopback":                 {server, map[string]string{"HTTPS_PROXY": "P", "ALL_PROXY": "P"}, false},
		"HTTP_PROXY is for others": {server, map[string]string{"HTTP_PROXY": "P"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, target.Host)
			getenv := func(key string) string {
				v := strings.Replace(c.vars[key], "P", p.url, 1)
				if name == "without a scheme" {
					v = strings.TrimPrefix(v, "http://")
				}
				return v
			}
			cl := connect(t, client.Options{Host: c.host, CAFile: ca, Getenv: getenv})
			defer cl.Close()
			if _, err := cl.Version(t.Context()); err != nil {
				t.Error(err)
			}
			cl.Close() // so that the exec finds its own way
			if code, err := cl.Exec(t.Context(), "x", wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{Stdout: &bytes.Buffer{}}); code != 3 || err != nil {
				t.Errorf("exec: %d, %v", code, err)
			}
			want := []string(nil)
			if c.want {
				want = []string{"CONNECT example.com:18443", "CONNECT example.com:18443"}
			}
			if got := p.asked(); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("the proxy was asked for %q, want %q", got, want)
			}
		})
	}
}

// TestNoProxy: what it names, and a unix socket, are reached without; a proxy that fails is named.
func TestNoProxy(t *testing.T) {
	getenv := func(key string) string {
		return map[string]string{"HTTPS_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": ".invalid"}[key]
	}
	call := func(host string) string {
		t.Helper()
		_, err := connect(t, client.Options{Host: host, Getenv: getenv}).Version(t.Context())
		if err == nil {
			return ""
		}
		u, ok := err.(*client.Unreachable) //nolint:errorlint // it is one
		if !ok {
			t.Fatal(err)
		}
		return u.Sentence + " / " + u.Hint
	}
	if said := call("https://bothy.example:1"); !strings.Contains(said, "using proxy 127.0.0.1:1 from HTTPS_PROXY") {
		t.Errorf("through a proxy that is away: %s", said)
	}
	if said := call("https://bothy.invalid:1"); strings.Contains(said, "proxy 127") {
		t.Errorf("of NO_PROXY: %s", said)
	}
	socket, _ := peer(t, say(200, "application/json", `{"version":"x"}`))
	if said := call(socket); said != "" {
		t.Errorf("a socket: %s", said)
	}
}
