package terraform_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary also plays Terraform, a provider and a daemon, by the name it is run under.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case name == "terraform" || name == "tofu":
		os.Exit(playTerraform())
	case strings.HasPrefix(name, "terraform-provider-"):
		os.Exit(playProvider())
	case name == "daemon":
		os.Exit(playDaemon())
	}
	os.Exit(m.Run())
}
