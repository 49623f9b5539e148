package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority makes an authority and a certificate of it for 127.0.0.1, in PEM, in a folder: ca.pem and server.pem, key included.
func authority(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	until := time.Now().Add(time.Hour)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the company's own"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	write := func(name string, blocks ...*pem.Block) {
		t.Helper()
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signed := func(c *x509.Certificate, key *ecdsa.PrivateKey) *pem.Block {
		t.Helper()
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), keys[0])
		if err != nil {
			t.Fatal(err)
		}
		return &pem.Block{Type: "CERTIFICATE", Bytes: der}
	}
	key, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	write("ca.pem", signed(ca, keys[0]))
	write("server.pem", &pem.Block{Type: "PRIVATE KEY", Bytes: key}, signed(server, keys[1]))
	return dir
}

// serveTLS answers every request with 404 and a line, with the certificate of server.pem.
const serveTLS = `
import http.server, ssl
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404); self.send_header("Content-Length", "8"); self.end_headers(); self.wfile.write(b"reached\n")
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain("server.pem")
s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()
`

// TestCertificatesOfTheInstallation: what stands behind an authority of the installation's own, as all does behind a proxy that looks into
// https, is reached by the programs of a sandbox, as dev and as root, cold and claimed, when the configuration names it.
func TestCertificatesOfTheInstallation(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	dir := authority(t)
	if err := os.WriteFile(filepath.Join(dir, "serve.py"), []byte(serveTLS), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting, other := start(t, "--sandbox-ca-file", filepath.Join(dir, "ca.pem")), start(t)
	trusting.bothy("pool", "set", "p", "--blueprint", "build", "--size", "small", "--target", "1", "--max", "1").want(t, 0)
	trusting.untilWarm()
	trusting.bothy("up", "--source", "none", "--name", "claimed").want(t, 0, "warm")
	trusting.bothy("up", "--source", "none", "--fresh", "--name", "cold").want(t, 0)
	other.bothy("up", "--source", "none", "--name", "without").want(t, 0)
	for name, d := range map[string]*daemon{"claimed": trusting, "cold": trusting, "without": other} {
		d.bothy("cp", dir+"/.", name+":").want(t, 0)
		d.bothy("exec", "--detach", name, "--", "python3", "serve.py").want(t, 0)
		d.eventually("it listens", func() bool {
			return d.bothy("exec", name, "--", "curl", "-sk", "https://127.0.0.1:8443/").code == 0
		})
		for _, c := range []struct {
			command []string
			// reached and refused are what a program says that was answered, and one that did not believe the certificate.
			reached, refused string
		}{
			{[]string{"curl", "-sS", "https://127.0.0.1:8443/"}, "reached", "SSL certificate problem"},
			{[]string{"git", "ls-remote", "https://127.0.0.1:8443/x"}, "not found", "certificate"},
			{[]string{"python3", "-c", "import urllib.request; urllib.request.urlopen('https://127.0.0.1:8443/')"}, "404", "CERTIFICATE_VERIFY_FAILED"},
			{[]string{"pip", "download", "--retries", "0", "--no-deps", "-i", "https://127.0.0.1:8443/simple", "nosuch"}, "No matching distribution", "certificate verify failed"},
			{[]string{"env", "GOPROXY=https://127.0.0.1:8443", "GOFLAGS=-mod=mod", "GONOSUMDB=*", "go", "list", "-m", "example.com/nosuch@v1.0.0"}, "404", "x509"},
			{[]string{"node", "-e", "fetch('https://127.0.0.1:8443/').then(r => console.log(r.status))"}, "404", "certificate"},
		} {
			if d.bothy("exec", name, "--", "which", c.command[0]).code != 0 {
				continue // the image does not have it
			}
			for _, user := range []string{"dev", "root"} {
				got := d.bothy(append([]string{"exec", "-u", user, name, "--"}, c.command...)...)
				want := c.reached
				if d == other {
					want = c.refused
				}
				if said := got.out + got.err; !strings.Contains(said, want) {
					t.Errorf("%s, %s, %s: code %d, want %q:\n%s", name, user, c.command[0], got.code, want, said)
				}
			}
		}
	}
}
