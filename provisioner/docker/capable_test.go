package docker_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// TestReadyAsksWhatTheEngineCan: an engine that cannot do what sandboxes are promised is not ready, in one sentence that names it;
// once it can, it is.
func TestReadyAsksWhatTheEngineCan(t *testing.T) {
	const (
		docker = `{"Version":"28.5.2","ApiVersion":"1.51"}`
		podman = `{"Version":"5.4.2","ApiVersion":"1.41","Components":[{"Name":"Podman Engine","Version":"5.4.2"}]}`
		all    = `{"OSType":"linux","MemoryLimit":true,"SwapLimit":true,"CpuCfsQuota":true,"PidsLimit":true,"CgroupVersion":"2"}`
	)
	for name, c := range map[string]struct{ version, info, want string }{
		"Podman":    {podman, all, "Podman 5.4.2 answers as the engine"},
		"rootless":  {docker, strings.Replace(all, "{", `{"SecurityOptions":["name=seccomp,profile=builtin","name=rootless"],`, 1), "28.5.2 is rootless"},
		"no limits": {docker, strings.Replace(all, `"PidsLimit":true`, `"PidsLimit":false`, 1), "cannot limit processes of sandboxes"},
		"too old":   {`{"Version":"19.03.15","ApiVersion":"1.40"}`, all, "19.03.15 is too old"},
	} {
		t.Run(name, func(t *testing.T) {
			var mended atomic.Bool
			e := answering(t, func(_, path string) (int, string) {
				switch {
				case strings.HasSuffix(path, "/version") && mended.Load():
					return 200, docker
				case strings.HasSuffix(path, "/version"):
					return 200, c.version
				case strings.HasSuffix(path, "/info") && mended.Load():
					return 200, all
				case strings.HasSuffix(path, "/info"):
					return 200, c.info
				}
				return 404, message("not here")
			})
			err := e.Ready(t.Context())
			wantClass(t, err, provisioner.Transient)
			if said := provisioner.Sentence(err); !provisioner.IsUnavailable(err) || !strings.Contains(said, c.want) || strings.Contains(said, "\n") {
				t.Errorf("got %q, want an unavailable engine and %q", said, c.want)
			}
			mended.Store(true)
			if err := e.Ready(t.Context()); err != nil {
				t.Errorf("it is mended, and still: %v", err)
			}
			if can, err := e.Facts(t.Context()); err != nil || can.Version != "28.5.2" {
				t.Errorf("got %v, %v", can, err)
			}
		})
	}
}

// TestSubnetIsTakenByItsStatus: another daemon was quicker with a subnet. Engines say so in words of their own, each by the same
// status: the next subnet is tried, and what the engine says at last is told.
func TestSubnetIsTakenByItsStatus(t *testing.T) {
	for _, status := range []int{403, 409} {
		var asked atomic.Int32
		e := answering(t, func(method, path string) (int, string) {
			switch {
			case method == "GET" && strings.HasSuffix(path, "/networks"):
				return 200, "[]"
			case strings.HasSuffix(path, "/networks/create"):
				asked.Add(1)
				return status, message("the range is spoken for")
			case strings.HasSuffix(path, "/info"):
				return 200, "{}"
			}
			return 404, message("not here")
		})
		_, err := e.Reserve(t.Context(), provisioner.Owner{Instance: e.instance, Environment: "e1", Created: time.Now()})
		wantClass(t, err, provisioner.Transient)
		if said := provisioner.Sentence(err); asked.Load() < 2 || !strings.Contains(said, "the range is spoken for") {
			t.Errorf("%d: %d tries, got %q", status, asked.Load(), said)
		}
	}
}
