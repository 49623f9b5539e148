package sandbox

import (
	"context"
	"slices"
	"sync"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// EtcTarget is what a sandbox has for itself.
const EtcTarget = "/etc"

// known remembers settings, by sandbox.
type known struct {
	mu sync.Mutex
	of map[string]Settings
}

// Settings are what a sandbox was made with; they never change.
type Settings struct {
	Image, User, Dir string
	Env              []string // its variables, the image's among them
	OwnEtc           bool     // it has an /etc of its own in front of the image's
	// groups are where its control groups are on this host, by controller; those that cannot be read are left out.
	Groups map[string]string
}

// Settings asks the engine once what a sandbox was made with.
func (s *Sandboxes) Settings(ctx context.Context, id string) (Settings, error) {
	s.settings.mu.Lock()
	known, ok := s.settings.of[id]
	s.settings.mu.Unlock()
	if ok {
		return known, nil
	}
	cctx, cancel := s.engine.Call(ctx)
	defer cancel()
	c, err := s.engine.API.ContainerInspect(cctx, id)
	if err != nil {
		return Settings{}, s.engine.Fail(ctx, engine.OpExec, err)
	}
	if c.ContainerJSONBase == nil || c.Config == nil || c.ID != id {
		return Settings{}, provisioner.Errorf(provisioner.Transient, engine.OpExec, "the engine's answer does not describe the sandbox")
	}
	known = Settings{Image: c.Image, User: c.Config.User, Dir: c.Config.WorkingDir}
	if known.User == "" {
		known.User = "0:0"
	}
	if known.Dir == "" {
		known.Dir = "/"
	}
	known.Env = c.Config.Env
	known.OwnEtc = slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool { return m.Destination == EtcTarget })
	if c.State == nil || c.State.Pid <= 0 {
		return known, nil // it does not run: where its control groups are is not known yet
	}
	if s.engine.Local {
		known.Groups = cgroup.All(c.ID, c.State.Pid)
	}
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	if s.settings.of == nil || len(s.settings.of) >= engine.MostKnown {
		s.settings.of = map[string]Settings{}
	}
	s.settings.of[id] = known
	return known, nil
}

// Forget drops what is remembered of a sandbox that is gone.
func (s *Sandboxes) Forget(id string) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	delete(s.settings.of, id)
}
