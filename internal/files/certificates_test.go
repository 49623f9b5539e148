package files_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/files"
)

// certificate makes one in PEM, an authority's or not.
func certificate(t *testing.T, name string, authority bool) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: authority,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestCertificates(t *testing.T) {
	one, two := certificate(t, "one", true), certificate(t, "two", true)
	text := "what people write\n" + string(one) + "\n# between\n" + string(two) + "after"
	got, err := files.ParseCertificates("ca.pem", []byte(text))
	if err != nil || !bytes.Equal(got, append(one, two...)) {
		t.Errorf("got %s, %v; want both and nothing else", got, err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":      {"", "ca.pem holds no certificate in PEM"},
		"DER":        {"\x30\x82\x01", "ca.pem holds no certificate in PEM"},
		"cut off":    {string(one[:len(one)-10]), "holds no certificate"},
		"a key":      {string(one) + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "block 2 is a PRIVATE KEY"},
		"garbage":    {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 cannot be read"},
		"a server's": {string(one) + string(certificate(t, "server", false)), "certificate 2 (CN=server) is not an authority's"},
		"much":       {strings.Repeat("x", files.MaxCertificates+1), "are the most"},
	} {
		if _, err := files.ParseCertificates("ca.pem", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
