package files

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
)

// MaxCertificates bounds a file of certificates, in bytes: each hand-over delivers it. The public authorities of a whole Linux
// distribution take less.
const MaxCertificates = 224 << 10

// OpenCertificates names a file of certificates of authorities; it is read at the first Get.
func OpenCertificates(path string) *Fresh[[]byte] { return NewFresh(path, nil, ParseCertificates) }

// ParseCertificates reads certificates in PEM, and gives them without whatever else lies between them. Each must be an authority's: a
// server's own would not be trusted for what it signs, and a private key has no place among them.
func ParseCertificates(file string, data []byte) ([]byte, error) {
	if len(data) > MaxCertificates {
		return nil, fleet.Errorf(fleet.CodeTooLarge, "%s has %d bytes, and %d are the most", file, len(data), MaxCertificates)
	}
	var all bytes.Buffer
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fleet.Errorf(fleet.CodeInvalid, "%s: block %d is a %s; only certificates belong there", file, n, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fleet.Errorf(fleet.CodeInvalid, "%s: certificate %d cannot be read: %w", file, n, err)
		}
		if c.BasicConstraintsValid && !c.IsCA || !c.BasicConstraintsValid && c.Version >= 3 {
			return nil, fleet.Errorf(fleet.CodeInvalid, "%s: certificate %d (%s) is not an authority's", file, n, c.Subject).
				WithHint("give the certificate of the authority that signed it")
		}
		if err := pem.Encode(&all, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return nil, fmt.Errorf("encode certificate: %w", err)
		}
	}
	if all.Len() == 0 {
		return nil, fleet.Errorf(fleet.CodeInvalid, "%s holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", file)
	}
	return all.Bytes(), nil
}
