package acquire

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Limits of the variables and secrets of a request.
const (
	maxVars        = 64
	maxVarBytes    = 32 << 10
	maxSecrets     = 64
	maxSecretBytes = 512 << 10
)

var (
	// varPattern is a POSIX name of a variable.
	varPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)
	// secretPattern is a plain file name that is not hidden.
	secretPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

func checkVars(vars map[string]string) error {
	if len(vars) > maxVars {
		return fleet.Errorf(fleet.CodeInvalid, "%d environment variables are too many", len(vars)).WithHint("give at most %d", maxVars)
	}
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !varPattern.MatchString(name) {
			return fleet.Errorf(fleet.CodeInvalid, "%q cannot be the name of an environment variable", nameAlone(name)).
				WithHint("use letters, digits and _, not a digit first")
		}
		if slices.Contains([]byte(vars[name]), 0) {
			return fleet.Errorf(fleet.CodeInvalid, "the environment variable %s holds a zero byte", name)
		}
		bytes += len(name) + len(vars[name])
	}
	if bytes > maxVarBytes {
		return fleet.Errorf(fleet.CodeInvalid, "the environment variables take %d bytes", bytes).
			WithHint("at most %d together; larger things are copied in: bothy cp", maxVarBytes)
	}
	return nil
}

// nameAlone is a wrong name for an error: short, and without a value that was given with it.
func nameAlone(name string) string {
	name, _, _ = strings.Cut(name, "=")
	return fleet.Short(name)
}

func checkSecrets(secrets map[string][]byte) error {
	if len(secrets) > maxSecrets {
		return fleet.Errorf(fleet.CodeInvalid, "%d secrets are too many", len(secrets)).WithHint("give at most %d", maxSecrets)
	}
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if !secretPattern.MatchString(name) {
			return fleet.Errorf(fleet.CodeInvalid, "%q cannot be the name of a secret", nameAlone(name)).
				WithHint("it becomes a file in %s: use letters, digits, _, - and dots, no dot or dash first", provisioner.SecretsDir)
		}
		bytes += len(name) + len(secrets[name])
	}
	if bytes > maxSecretBytes {
		return fleet.Errorf(fleet.CodeTooLarge, "the secrets take %d bytes", bytes).WithHint("at most %d together", maxSecretBytes)
	}
	return nil
}

// besideCertificates refuses secrets that do not fit into one delivery with the certificates of this installation.
func besideCertificates(secrets map[string][]byte, files []provisioner.File) error {
	if len(files) == 0 {
		return nil
	}
	room, bytes := provisioner.MaxDelivery, 0
	for _, f := range files {
		room -= len(f.Data)
	}
	for _, data := range secrets {
		bytes += len(data)
	}
	if bytes > room || len(secrets)+len(files) > provisioner.MaxDeliveryFiles {
		return fleet.Errorf(fleet.CodeTooLarge, "%d secrets take %d bytes", len(secrets), bytes).
			WithHint("at most %d, of %d bytes together, beside the certificates of this installation (sandbox.ca_file)", provisioner.MaxDeliveryFiles-len(files), room)
	}
	return nil
}
