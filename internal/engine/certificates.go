package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// certificatesFile is where programs in a sandbox find the certificates of the installation's own authorities, in the folder of
// secrets: the image stays as it is. No secret can have its name.
const certificatesFile = ".bothy-ca.pem"

// certificateVariables name that file to programs: OpenSSL and what is built on it, Go and Python's ssl read the first, Node the
// second; requests, pip, curl, git and cargo have their own.
var certificateVariables = []string{
	"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO",
}

// certificates are those that programs in sandboxes are to trust, in PEM; nil for none.
func (e *Engine) certificates() []byte {
	if e.cfg.Certificates == nil {
		return nil
	}
	return e.cfg.Certificates()
}

// everywhere are the variables of every command in every sandbox.
func (e *Engine) everywhere() []string {
	all := e.cfg.Variables
	if e.certificates() == nil {
		return all
	}
	for _, name := range certificateVariables {
		all = append(all[:len(all):len(all)], name+"="+provisioner.SecretsDir+"/"+certificatesFile)
	}
	return all
}

// certificateFiles gives the certificates as files to deliver.
func (e *Engine) certificateFiles() []provisioner.File {
	if data := e.certificates(); data != nil {
		return []provisioner.File{{Name: certificatesFile, Mode: 0o444, Data: data}}
	}
	return nil
}

// handed gives what is delivered to a sandbox at its hand-over.
func (e *Engine) handed(secrets map[string][]byte) []provisioner.File {
	return append(secretFiles(secrets), e.certificateFiles()...)
}

// certified is which certificates a sandbox was given, and in which of its runs: a restart empties the folder.
type certified struct {
	host         string
	certificates [sha256.Size]byte
	run          time.Time
}

// noteHanded remembers which certificates a sandbox has from its hand-over.
func (e *Engine) noteHanded(env fleet.Environment, files []provisioner.File) {
	for _, f := range files {
		if f.Name == certificatesFile {
			e.certified.Store(env.SandboxID, certified{env.Host, sha256.Sum256(f.Data), env.StartedAt})
		}
	}
}

// renewCertificates gives them to leased sandboxes that lack them: those that were handed over before there were any, or before these,
// and those that were restarted.
func (e *Engine) renewCertificates(ctx context.Context, h *Host, envs map[string]fleet.Environment) error {
	files := e.certificateFiles()
	stager, ok := h.Runtime.(provisioner.Stager)
	if !ok || files == nil {
		return nil
	}
	sum, there := sha256.Sum256(files[0].Data), map[string]bool{}
	var errs []error
	for id, env := range envs {
		there[env.SandboxID] = true
		want := certified{h.Name, sum, env.StartedAt}
		if given, ok := e.certified.Load(env.SandboxID); ok && given == want || env.State != fleet.Leased || !ready(env) || env.Doubted || env.SandboxID == "" {
			continue
		}
		err := e.deliverCertificates(ctx, stager, env, files)
		switch {
		case err == nil:
			e.certified.Store(env.SandboxID, want)
		case provisioner.Is(err, provisioner.NotFound), provisioner.Is(err, provisioner.Conflict):
			// It is gone or has ended, which others notice.
		default:
			errs = append(errs, fmt.Errorf("give certificates to environment %s: %w", id, err))
		}
	}
	e.certified.Range(func(sandbox, given any) bool {
		if given.(certified).host == h.Name && !there[sandbox.(string)] {
			e.certified.Delete(sandbox)
		}
		return true
	})
	return errors.Join(errs...)
}

func (e *Engine) deliverCertificates(ctx context.Context, stager provisioner.Stager, env fleet.Environment, files []provisioner.File) error {
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	way, err := stager.Stage(ctx, env.SandboxID, firstUser(env))
	if err != nil {
		return err
	}
	return way.Deliver(ctx, files)
}
