package broker_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
)

// TestSecretsAreTheUsers: the folder for secrets belongs to the image's own user, whatever number a blueprint says; the provider is told
// what its blueprint says.
func TestSecretsAreTheUsers(t *testing.T) {
	b := setupWith(t, func(c *broker.Config) {
		additions := c.Additions
		c.Additions = func(ctx context.Context, spec *provisioner.Spec, network string) (broker.Additions, error) {
			more, err := additions(ctx, spec, network)
			more.Secrets = "uid=1500,gid=1501"
			return more, err
		}
	})
	b.engine.made = inspected
	id := b.made()
	_, body := b.ask("GET", "/containers/"+id+"/json", nil)
	var told container.InspectResponse
	if err := json.Unmarshal([]byte(body), &told); err != nil {
		t.Fatal(err)
	}
	const said, made = "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000", "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1500,gid=1501"
	if got := told.HostConfig.Tmpfs[provisioner.SecretsDir]; got != said {
		t.Errorf("told %q, want %q", got, said)
	}
	if got := b.engine.containers[id].HostConfig.Tmpfs[provisioner.SecretsDir]; got != made {
		t.Errorf("made %q, want %q", got, made)
	}
	if err := b.door.Judge(t.Context(), id); err != nil {
		t.Errorf("it is judged: %v", err)
	}
}
