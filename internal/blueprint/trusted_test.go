package blueprint_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/blueprint"
)

// A digest that the platform trusts is offered though its Terraform would be refused; nothing else is, and a change ends it.
func TestATrustedDigestIsOffered(t *testing.T) {
	dir := named(t, "devices", "1.0.0")
	main := filepath.Join(dir, "main.tf")
	text, err := os.ReadFile(main)
	must(t, err)
	must(t, os.WriteFile(main, append(text, []byte("\ndata \"docker_image\" \"x\" { name = \"x\" }\n")...), 0o600))
	open := func(trusted ...string) *blueprint.Catalogue {
		c, err := blueprint.Open(blueprint.Sources{Folders: []string{dir}, Trusted: trusted}, cache(t))
		must(t, err)
		return c
	}
	c := open()
	if len(c.List()) != 0 || len(c.Refused()) != 1 {
		t.Fatalf("untrusted, it is offered: %v", c.List())
	}
	digest := blueprint.DigestOf(t, dir)
	c = open("sha256:0000000000000000000000000000000000000000000000000000000000000000", digest)
	if all := c.List(); len(all) != 1 || !all[0].Trusted || all[0].Ref.Digest != digest {
		t.Fatalf("trusted, it is not offered: %v, %v", all, c.Refused())
	}
	must(t, os.WriteFile(main, append(text, []byte("\ndata \"docker_image\" \"y\" { name = \"y\" }\n")...), 0o600))
	if c = open(digest); len(c.List()) != 0 {
		t.Errorf("changed, it is still offered: %v", c.List())
	}
}
