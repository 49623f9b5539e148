package engine

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Bounds of what a request gives its environment.
const (
	maxVars        = 64
	maxVarBytes    = 32 << 10
	maxSecrets     = 64
	maxSecretBytes = 512 << 10
)

// secretMode lets the default user, who owns the files, read them and nobody else.
const secretMode = 0o400

var (
	// varPattern is what POSIX lets a variable be called.
	varPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)
	// secretPattern is a plain file name that is not hidden.
	secretPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// vault keeps secrets sealed between a request and their delivery, and tells two of them apart without showing them.
type vault struct {
	*sealer
	requests []byte
}

func newVault(secret []byte) (*vault, error) {
	sealer, err := newSealer(secret, "bothy secrets v1")
	if err != nil {
		return nil, err
	}
	requests, err := hkdf.Key(sha256.New, secret, nil, "bothy requests v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive request key: %w", err)
	}
	return &vault{sealer: sealer, requests: requests}, nil
}

// digest stands for a secret in a request's hash. It has a key: a plain hash of a short secret could be guessed.
func (v *vault) digest(value []byte) string {
	mac := hmac.New(sha256.New, v.requests)
	mac.Write(value)
	return hex.EncodeToString(mac.Sum(nil))
}

// sealSecrets gives what the store keeps until delivery; nil when there is nothing to keep. It is bound to whose environment
// it is and what that is called, which stay the same whichever environment the request is given.
func (v *vault) sealSecrets(env *fleet.Environment, secrets map[string][]byte) ([]byte, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encode secrets: %w", err)
	}
	return v.seal(bound(env), text), nil
}

func bound(env *fleet.Environment) string {
	return env.Tenant + "\x00" + env.Owner + "\x00" + env.Name
}

// keptSecrets reads the secrets that wait for delivery to an environment.
func (e *Engine) keptSecrets(ctx context.Context, env fleet.Environment) (map[string][]byte, error) {
	if len(env.SecretNames) == 0 {
		return nil, nil
	}
	sealed, err := e.store.Secrets(ctx, env.ID)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	text, err := e.vault.open(bound(&env), sealed)
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	var secrets map[string][]byte
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, fmt.Errorf("decode secrets: %w", err)
	}
	return secrets, nil
}

// secretFiles gives secrets as files to deliver, in order.
func secretFiles(secrets map[string][]byte) []provisioner.File {
	files := make([]provisioner.File, 0, len(secrets))
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		files = append(files, provisioner.File{Name: name, Mode: secretMode, Data: secrets[name]})
	}
	return files
}

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

// nameAlone is a wrong name as an error repeats it: short, and without what was put there as its value.
func nameAlone(name string) string {
	name, _, _ = strings.Cut(name, "=")
	return short(name)
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
