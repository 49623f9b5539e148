package broker

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// scope is what of the engine's objects is one environment's.
type scope struct {
	engine Engine
	key    provisioner.Key
	spec   *provisioner.Spec

	mu sync.Mutex
	// known are containers that were found to be this environment's, as they were then. Neither an id nor a label changes.
	known map[string]container.InspectResponse

	joining sync.Mutex
	network container.NetworkMode
}

// own looks at a container by its complete id. One of somebody else is not there. Who does not want it fresh may get it as it
// was when it was looked at before.
func (s *scope) own(ctx context.Context, id string, fresh bool) (container.InspectResponse, error) {
	if !fresh {
		s.mu.Lock()
		c, ok := s.known[id]
		s.mu.Unlock()
		if ok {
			return c, nil
		}
	}
	c, err := s.engine.ContainerInspect(ctx, id)
	if err != nil {
		return c, err
	}
	if c.ContainerJSONBase == nil || c.HostConfig == nil || c.ID != id || c.Config == nil || !s.owns(c.Config.Labels) {
		return c, notFound(kindContainer, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[id] = c
	return c, nil
}

// owns reports whether labels are this environment's. Nobody else can make them: a blueprint's creates carry exactly those of
// its grant, and others do not know the key.
func (s *scope) owns(labels map[string]string) bool {
	o := s.spec.Owner
	return labels[provisioner.LabelInstance] == o.Instance && labels[provisioner.LabelEnvironment] == o.Environment &&
		s.key.Verify(labels)
}

// notFound answers for what is not there, and alike for what is another's.
func notFound(kind, id string) error {
	return errNotFound{errors.New("No such " + kind + ": " + id)}
}

type errNotFound struct{ error }

// NotFound makes it one of containerd's class, as the engine's own are.
func (errNotFound) NotFound() {}

// mounts refuses volumes that are not there with this environment's labels: the engine makes those that are missing, and
// nothing would find them again.
func (s *scope) mounts(ctx context.Context, h *container.HostConfig) error {
	if s.spec.Blueprint.Trusted {
		return nil
	}
	named := map[string]string{}
	for _, bind := range h.Binds {
		name, _, _ := strings.Cut(bind, ":")
		named[name] = "docker_container.volumes.volume_name"
	}
	for _, m := range h.Mounts {
		named[m.Source] = "docker_container.mounts.source"
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		v, err := s.engine.VolumeInspect(ctx, name)
		if unlessAbsent(err) != nil {
			return err
		}
		if err != nil || v.Name != name || !s.owns(v.Labels) {
			return &provisioner.Refusal{Attribute: named[name], Found: shorten(name), Want: "the name of a docker_volume of this blueprint"}
		}
	}
	return nil
}

// find looks for an object of this environment by name.
func (s *scope) find(ctx context.Context, o provisioner.Object) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	labels := map[string]string{}
	switch o.Kind {
	case kindContainer:
		c, err := s.engine.ContainerInspect(ctx, o.Name)
		if err != nil {
			return "", unlessAbsent(err)
		}
		id, labels = c.ID, c.Config.Labels
	case kindVolume:
		v, err := s.engine.VolumeInspect(ctx, o.Name)
		if err != nil {
			return "", unlessAbsent(err)
		}
		id, labels = v.Name, v.Labels
	}
	if !s.owns(labels) {
		return "", nil
	}
	return id, nil
}

func unlessAbsent(err error) error {
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// joined is the grant's network as an inspect tells it: the engine turns the name of a container whose network is joined
// into its id. It is asked for once, since a holder is the same as long as a door is open; where it is not, Judge refuses.
func (s *scope) joined(ctx context.Context) (container.NetworkMode, error) {
	mode := container.NetworkMode(s.spec.Sandbox.Network)
	if mode == "" {
		return "none", nil
	}
	if !mode.IsContainer() {
		return mode, nil
	}
	s.joining.Lock()
	defer s.joining.Unlock()
	if s.network != "" {
		return s.network, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	holder, err := s.engine.ContainerInspect(ctx, mode.ConnectedContainer())
	if err != nil {
		return "", err
	}
	s.network = container.NetworkMode("container:" + holder.ID)
	return s.network, nil
}
