package docker_test

import (
	"slices"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/seccomp"
)

// What a blueprint has to say of every sandbox: bothy's own profile, whatever the engine's is, and no new privileges.
func TestEverySandboxIsHardened(t *testing.T) {
	r, err := docker.New(docker.Config{Instance: "inst", Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(t.Context()); err != nil && !provisioner.IsUnavailable(err) {
			t.Error(err)
		}
	}()
	var s provisioner.Sandbox
	r.Broker().Harden(&s)
	if !seccomp.Is(s.SecurityOpts) || !slices.Contains(s.SecurityOpts, "no-new-privileges:true") || len(s.SecurityOpts) != 2 {
		t.Errorf("the security options are %.80q", s.SecurityOpts)
	}
	for _, name := range []string{"nofile", "core", "sigpending", "msgqueue", "memlock"} {
		if !slices.ContainsFunc(s.Ulimits, func(u provisioner.Ulimit) bool { return u.Name == name && u.Hard >= u.Soft && u.Soft >= 0 }) {
			t.Errorf("%s is not bounded: %v", name, s.Ulimits)
		}
	}
}
