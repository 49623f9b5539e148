package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// secretMode lets the default user, who owns the files, read them and nobody else.
const secretMode = 0o400

// Digest stands for a secret in a request's hash. It has a key: a plain hash of a short secret could be guessed.
func (v *Vault) Digest(value []byte) string {
	mac := hmac.New(sha256.New, v.requests)
	mac.Write(value)
	return hex.EncodeToString(mac.Sum(nil))
}

// SealSecrets gives what the store keeps until delivery; nil when there is nothing to keep. It is bound to whose environment
// it is and what that is called, which stay the same whichever environment the request is given.
func (v *Vault) SealSecrets(env *fleet.Environment, secrets map[string][]byte) ([]byte, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encode secrets: %w", err)
	}
	return v.waiting.seal(bound(env), text), nil
}

func bound(env *fleet.Environment) string {
	return env.Tenant + "\x00" + env.Owner + "\x00" + env.Name
}

// Secrets reads the secrets that wait for delivery to an environment.
func (v *Vault) Secrets(ctx context.Context, env fleet.Environment) (map[string][]byte, error) {
	if len(env.SecretNames) == 0 {
		return nil, nil
	}
	sealed, err := v.store.Secrets(ctx, env.ID)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	text, err := v.waiting.open(bound(&env), sealed)
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	var secrets map[string][]byte
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, fmt.Errorf("decode secrets: %w", err)
	}
	return secrets, nil
}

// Files gives the secrets that wait for delivery to an environment, as files.
func (v *Vault) Files(ctx context.Context, env fleet.Environment) ([]provisioner.File, error) {
	secrets, err := v.Secrets(ctx, env)
	return v.AsFiles(secrets), err
}

// AsFiles gives secrets as files to deliver, in order.
func (*Vault) AsFiles(secrets map[string][]byte) []provisioner.File {
	files := make([]provisioner.File, 0, len(secrets))
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		files = append(files, provisioner.File{Name: name, Mode: secretMode, Data: secrets[name]})
	}
	return files
}
