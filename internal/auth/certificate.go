package auth

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/bothy-env/bothy/internal/files"
)

// Certificate is the TLS certificate and its key, read again when their files change. While the new pair is wrong, as between
// the writing of the two files, the old one is served.
type Certificate struct {
	cert, key *files.Fresh[[]byte]
	log       *slog.Logger

	mu sync.Mutex
	// pair is what is served, made of these contents; wrong is what is wrong with the files now.
	pair             *tls.Certificate
	certPEM, keyPEM  []byte
	wrong            error
	triedPEM, tryKey []byte
}

// OpenCertificate reads the pair and refuses a key that every user may read. log receives changes of the files.
//
// Errors: those of the files.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	whole := func(_ string, data []byte) ([]byte, error) { return data, nil }
	c := &Certificate{
		cert: files.NewFresh(certFile, nil, whole), log: log,
		key: files.NewFresh(keyFile, func(info fs.FileInfo) error {
			if mode := info.Mode().Perm(); mode&0o007 != 0 {
				return fmt.Errorf("%s has mode %04o, so others may read it: chmod 600", keyFile, mode)
			}
			return nil
		}, whole),
	}
	if pair, err := c.Current(); pair == nil {
		return nil, err
	}
	return c, nil
}

// Config is for a listener. HTTP/1.1 only: WebSockets need it, and one protocol is one behaviour.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, _ := c.Current()
			return pair, nil
		},
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}
}

// Current gives the pair to serve, and what is wrong with the files as they are now.
func (c *Certificate) Current() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, certErr := c.cert.Get()
	key, keyErr := c.key.Get()
	var err error
	switch {
	case keyErr != nil:
		err = fmt.Errorf("load TLS key: %w", keyErr)
	case certErr != nil:
		err = fmt.Errorf("load TLS certificate: %w", certErr)
	case bytes.Equal(cert, c.certPEM) && bytes.Equal(key, c.keyPEM):
	case c.wrong != nil && bytes.Equal(cert, c.triedPEM) && bytes.Equal(key, c.tryKey):
		err = c.wrong
	default:
		c.triedPEM, c.tryKey = cert, key
		pair, pairErr := tls.X509KeyPair(cert, key)
		if pairErr != nil {
			err = fmt.Errorf("load TLS certificate: %w", pairErr)
			break
		}
		if c.pair != nil {
			c.log.Info("reloaded the TLS certificate", "file", c.cert.Path(), "until", pair.Leaf.NotAfter)
		}
		c.pair, c.certPEM, c.keyPEM = &pair, cert, key
	}
	if err != nil && c.pair != nil && (c.wrong == nil || c.wrong.Error() != err.Error()) {
		c.log.Error("cannot load the new TLS certificate, serving the old one", "error", err)
	}
	c.wrong = err
	return c.pair, err
}
