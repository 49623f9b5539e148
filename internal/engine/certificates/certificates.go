// Package certificates has programs in sandboxes trust the installation's own authorities: as a file that every sandbox is given at its
// hand-over, and as variables of every command that name it. The image stays as it is.
package certificates

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// file is where programs in a sandbox find the certificates, in the folder of secrets. No secret can have its name.
	file = ".bothy-ca.pem"
	// deliverTimeout bounds one delivery.
	deliverTimeout = 10 * time.Second
)

// names are the variables that name the file to programs: OpenSSL and what is built on it, Go and Python's ssl read the first, Node the
// second; requests, pip, curl, git and cargo have their own.
var names = []string{
	"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO",
}

// Certificates are those that programs in sandboxes are to trust.
type Certificates struct {
	// now gives them in PEM; nil for none.
	now func() []byte
	// given is what sandboxes were given of them, by sandbox.
	given sync.Map
}

// New makes it. now gives the certificates in PEM, nil for none; it may be nil itself.
func New(now func() []byte) *Certificates {
	if now == nil {
		now = func() []byte { return nil }
	}
	return &Certificates{now: now}
}

// Variables are those of every command in every sandbox, NAME=value.
func (c *Certificates) Variables() (all []string) {
	if c.now() == nil {
		return nil
	}
	for _, name := range names {
		all = append(all, name+"="+provisioner.SecretsDir+"/"+file)
	}
	return all
}

// Files gives the certificates as files to deliver.
func (c *Certificates) Files() []provisioner.File {
	if data := c.now(); data != nil {
		return []provisioner.File{{Name: file, Mode: 0o444, Data: data}}
	}
	return nil
}

// given is which certificates a sandbox was given, and in which of its runs: a restart empties the folder.
type given struct {
	host         string
	certificates [sha256.Size]byte
	run          time.Time
}

// Handed records which files a sandbox got at its hand-over.
func (c *Certificates) Handed(env fleet.Environment, files []provisioner.File) {
	for _, f := range files {
		if f.Name == file {
			c.given.Store(env.SandboxID, given{env.Host, sha256.Sum256(f.Data), env.StartedAt})
		}
	}
}

// Renew gives them to leased sandboxes of a host that lack them: those that were handed over before there were any, or before these,
// and those that were restarted.
func (c *Certificates) Renew(ctx context.Context, h *target.Host, envs map[string]fleet.Environment) error {
	files := c.Files()
	stager, ok := provisioner.Can[provisioner.Stager](h.Runtime)
	if !ok || files == nil {
		return nil
	}
	sum := sha256.Sum256(files[0].Data)
	var errs []error
	there := map[string]bool{}
	for id, env := range envs {
		there[env.SandboxID] = true
		want := given{h.Name, sum, env.StartedAt}
		if has, ok := c.given.Load(env.SandboxID); ok && has == want || env.State != fleet.Leased || !env.Ready() || env.Doubted || env.SandboxID == "" {
			continue
		}
		err := deliver(ctx, stager, env, files)
		switch {
		case err == nil:
			c.given.Store(env.SandboxID, want)
		case provisioner.Is(err, provisioner.NotFound), provisioner.Is(err, provisioner.Conflict):
			// It is gone or has ended, which others notice.
		default:
			errs = append(errs, fmt.Errorf("give certificates to environment %s: %w", id, err))
		}
	}
	c.given.Range(func(sandbox, has any) bool {
		if has.(given).host == h.Name && !there[sandbox.(string)] {
			c.given.Delete(sandbox)
		}
		return true
	})
	return errors.Join(errs...)
}

func deliver(ctx context.Context, stager provisioner.Stager, env fleet.Environment, files []provisioner.File) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	session, err := stager.Stage(ctx, env.SandboxID, env.FirstUser())
	if err != nil {
		return err
	}
	return session.Deliver(ctx, files)
}
