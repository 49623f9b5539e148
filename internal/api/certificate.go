package api

import (
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/auth"
	"github.com/bothy-env/bothy/internal/service"
)

// expiryNotice is how long before its end doctor warns of a certificate.
const expiryNotice = 14 * 24 * time.Hour

// checkCertificate is doctor's finding at a moment.
func checkCertificate(c *auth.Certificate, now time.Time) service.Check {
	pair, wrong := c.Current()
	until := pair.Leaf.NotAfter
	found := service.Check{Name: "certificate", Status: service.OK, Message: "the TLS certificate is valid until " + until.UTC().Format(time.RFC3339)}
	const renew = "renew listen.tls_cert and listen.tls_key, which bothyd reloads"
	switch left := until.Sub(now); {
	case left <= 0:
		found.Status, found.Hint = service.Down, renew
		found.Message = "the TLS certificate expired at " + until.UTC().Format(time.RFC3339) + ": clients refuse the connection"
	case wrong != nil:
		found.Status, found.Hint = service.Warning, "fix the files, which bothyd reloads"
		found.Message = "cannot load the new TLS certificate, serving the old one until " + until.UTC().Format(time.RFC3339) + ": " + wrong.Error()
	case left < expiryNotice:
		found.Status, found.Hint = service.Warning, renew
		found.Message = fmt.Sprintf("the TLS certificate expires in %d days, at %s", int(left/(24*time.Hour)), until.UTC().Format(time.RFC3339))
	}
	return found
}
