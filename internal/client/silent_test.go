package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
	"github.com/bothy-env/bothy/internal/client"
)

// TestASilentDaemonIsNoticed: a daemon that was stopped, or a network that is away, keeps nobody waiting for ever.
func TestASilentDaemonIsNoticed(t *testing.T) {
	upgrade := func(c net.Conn, r *http.Request) {
		fmt.Fprintf(c, "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			wire.ExecProtocol, acceptKey(r.Header.Get("Sec-WebSocket-Key")))
		hold(c)
	}
	lines := func(c net.Conn, _ *http.Request) {
		fmt.Fprint(c, "HTTP/1.1 200 X\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n\n")
		hold(c)
	}
	for name, c := range map[string]struct {
		act  func(net.Conn, *http.Request)
		call func(context.Context, *client.Client) error
	}{
		"exec": {upgrade, func(ctx context.Context, c *client.Client) error {
			_, err := c.Exec(ctx, "x", wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{})
			return err
		}},
		"logs": {lines, streams["logs"]},
	} {
		t.Run(name, func(t *testing.T) {
			host, _ := peer(t, c.act)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			err := c.call(ctx, connect(t, client.Options{Host: host, Heartbeat: heartbeat.Timing{Every: 20 * time.Millisecond, Patience: 200 * time.Millisecond}}))
			u, ok := errors.AsType[*client.Unreachable](err)
			if !ok || u.Cause != client.Silent || !strings.Contains(u.Sentence, "received nothing from the daemon") || client.CodeOf(err) != wire.CodeUnavailable {
				t.Errorf("got %v, want a silent daemon", err)
			}
		})
	}
}

// TestASlowPagerGetsAllLines: lines are read ahead up to a bound, and none is lost at it.
func TestASlowPagerGetsAllLines(t *testing.T) {
	const n = 30_000
	host, _ := peer(t, func(c net.Conn, _ *http.Request) {
		fmt.Fprint(c, "HTTP/1.1 200 X\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n")
		block := strings.Repeat(`{"text":"`+strings.Repeat("x", 990)+"\"}\n\n", 1000)
		for range n / 1000 { // more than is held at once
			if _, err := fmt.Fprint(c, block); err != nil {
				return
			}
		}
	})
	got := 0
	err := connect(t, client.Options{Host: host}).Logs(t.Context(), "x", time.Time{}, false, func(wire.LogLine) error { got++; return nil })
	if err != nil || got != n {
		t.Errorf("%d lines, %v; want %d", got, err, n)
	}
}

// hold keeps a connection open, unread, until the other side leaves it.
func hold(c net.Conn) {
	for buf := make([]byte, 1024); ; {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// acceptKey is RFC 6455's answer to a handshake.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestACutConnectionNamesWhatMayHaveCutIt: over TCP something between is as likely as the daemon.
func TestACutConnectionNamesWhatMayHaveCutIt(t *testing.T) {
	server, ca := tlsServer(t, func(w http.ResponseWriter, _ *http.Request) {
		panic(http.ErrAbortHandler)
	})
	c := connect(t, client.Options{Host: server, CAFile: ca})
	err := streams["logs"](t.Context(), c)
	u, ok := errors.AsType[*client.Unreachable](err)
	if !ok || u.Cause != client.CutOff || !strings.Contains(u.Hint, "a proxy or firewall closes idle or long connections") {
		t.Errorf("got %#v", err)
	}
}

// TestWhyACertificateIsNotTrusted: the advice is by the reason.
func TestWhyACertificateIsNotTrusted(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		until time.Time
		host  string
		known bool
		hint  string
	}{
		"it has expired":         {now.Add(-time.Hour), "127.0.0.1", true, "renew its certificate"},
		"it is another host's":   {now.Add(time.Hour), "10.0.0.7", true, "an address that its certificate names"},
		"nobody known signed it": {now.Add(time.Hour), "127.0.0.1", false, "--ca-file"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), NotBefore: now.Add(-2 * time.Hour), NotAfter: c.until, IPAddresses: []net.IP{net.ParseIP(c.host)},
				BasicConstraintsValid: true, IsCA: true,
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
			server.StartTLS()
			defer server.Close()
			opts := client.Options{Host: server.URL, Token: "t"}
			if c.known {
				opts.CAFile = filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(opts.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err = connect(t, opts).Version(t.Context())
			u, ok := errors.AsType[*client.Unreachable](err)
			if !ok || u.Cause != client.Untrusted || !strings.Contains(u.Hint, c.hint) {
				t.Errorf("got %#v", err)
			}
		})
	}
}

// tlsServer is an https server and the file of its certificate.
func tlsServer(t *testing.T, handle http.HandlerFunc) (host, ca string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handle)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, ca
}
