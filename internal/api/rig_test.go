package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// rig is a server on a real socket (and a real TLS listener) over an engine double.
type rig struct {
	t      *testing.T
	engine *double
	server *api.Server
	dir    string
	socket string
	log    *logBuffer
	served chan error
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs a server until the test ends.
func start(t *testing.T, engine *double, adjust ...func(*api.Config)) *rig {
	t.Helper()
	r := serve(t, engine.services(), adjust...)
	r.engine = engine
	return r
}

// serve is start for any services.
func serve(t *testing.T, services api.Services, adjust ...func(*api.Config)) *rig {
	t.Helper()
	r := &rig{t: t, dir: shortDir(t), log: &logBuffer{}, served: make(chan error, 1)}
	r.socket = filepath.Join(r.dir, "run", "bothyd.sock")
	cfg := api.Config{Socket: r.socket, Version: "test", Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, a := range adjust {
		a(&cfg)
	}
	server, err := api.New(cfg, services)
	if err != nil {
		t.Fatal(err)
	}
	r.server = server
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	go func() { r.served <- server.Serve(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if err := <-r.served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return r
}

// shortDir is a temporary folder whose sockets' paths are short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// client is a client at the socket.
func (r *rig) client() *client.Client {
	return r.clientOf(client.Options{Host: "unix://" + r.socket})
}

func (r *rig) clientOf(o client.Options) *client.Client {
	r.t.Helper()
	c, err := client.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// raw sends one plain request over the socket and gives the answer, its body read.
func (r *rig) raw(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	r.t.Helper()
	return send(r.t, &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}}, method, "http://bothyd"+path, body, header...)
}

func send(t *testing.T, tr *http.Transport, method, url string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// problemIn checks that an answer is a problem and gives it.
func problemIn(t *testing.T, resp *http.Response, body string) wire.Problem {
	t.Helper()
	if ct := resp.Header.Get("Content-Type"); ct != wire.ProblemType {
		t.Errorf("content type %q, want %q; body %s", ct, wire.ProblemType, body)
	}
	var p wire.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("problem %q: %v", body, err)
	}
	if p.Status != resp.StatusCode || p.Title == "" || p.Detail == "" || p.Code == "" {
		t.Errorf("problem of status %d is %+v: status, title, detail and code are needed", resp.StatusCode, p)
	}
	return p
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %s: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// receive takes one value from a channel, in time.
func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come within %s", what, patience)
		panic("unreachable")
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// withTCP adds a TLS listener with a certificate for 127.0.0.1 and the token "sesame" of user eve.
func withTCP(t *testing.T) (dir string, adjust func(*api.Config)) {
	t.Helper()
	dir = shortDir(t)
	certify(t, dir, 1, time.Now().Add(90*24*time.Hour))
	put(t, dir, "tokens", "# who may\n\n"+tokenLine("eve", "sesame"))
	return dir, func(c *api.Config) {
		c.TCP, c.TLSCert, c.TLSKey = "127.0.0.1:0", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		c.TokenFile = filepath.Join(dir, "tokens")
	}
}

// certify writes a certificate for 127.0.0.1 and its key to dir.
func certify(t *testing.T, dir string, serial int64, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "bothyd"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-100 * 24 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
}

func tokenLine(name, token string) string {
	sum := sha256.Sum256([]byte(token))
	return name + " " + hex.EncodeToString(sum[:]) + "\n"
}

func put(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// trust gives a transport that trusts the certificate in dir.
func trust(t *testing.T, dir string) *http.Transport {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
}

func contains(t *testing.T, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%q does not contain %q", got, want)
	}
}

type apiConfig = api.Config

// dial opens a plain connection to the socket.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	conn, err := net.DialTimeout("unix", r.socket, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return conn
}
