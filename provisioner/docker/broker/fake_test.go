package broker_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// absent is an engine's answer for what is not there.
type absent struct{ what string }

func (e absent) Error() string { return "Error response from daemon: No such " + e.what }
func (absent) NotFound()       {}

// engine is an engine in memory that notes what it was told to do. The real one is used by the tests of package docker, of
// Terraform's driver and end to end.
type engine struct {
	t  *testing.T
	mu sync.Mutex
	// done are the calls that change something: "create NAME", "start ID", ...
	done       []string
	containers map[string]*container.InspectResponse
	volumes    map[string]volume.Volume
	// created is the last create as the engine was sent it, in JSON.
	created string
	// looks counts inspects of containers, by what they were asked for.
	looks map[string]int
	// onCreate, when set, is run before a create takes effect; an error is the answer.
	onCreate func(ctx context.Context) error
	// made, when set, changes what the engine makes.
	made func(*container.InspectResponse)
}

func newEngine(t *testing.T) *engine {
	return &engine{t: t, containers: map[string]*container.InspectResponse{}, volumes: map[string]volume.Volume{}}
}

func (e *engine) note(what string) { e.done = append(e.done, what) }

func (e *engine) calls() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.done)
}

// put adds a container that is there already.
func (e *engine) put(id, name string, labels map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[id] = &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{ID: id, Name: "/" + name, State: &container.State{Running: true}, HostConfig: &container.HostConfig{}},
		Config:            &container.Config{Labels: labels},
	}
}

func (e *engine) ClientVersion() string { return "1.41" }

func (e *engine) ServerVersion(context.Context) (types.Version, error) {
	return types.Version{Version: "20.10.24", APIVersion: "1.41", Os: "linux", Arch: "amd64", KernelVersion: "secret of the host"}, nil
}

func (e *engine) ImageInspect(_ context.Context, id string, _ ...client.ImageInspectOption) (image.InspectResponse, error) {
	return image.InspectResponse{ID: id}, nil
}

func (e *engine) ContainerCreate(ctx context.Context, config *container.Config, host *container.HostConfig,
	networking *network.NetworkingConfig, _ *ocispec.Platform, name string,
) (container.CreateResponse, error) {
	e.mu.Lock()
	before := e.onCreate
	e.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return container.CreateResponse{}, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note("create " + name)
	sent, err := json.MarshalIndent(container.CreateRequest{Config: config, HostConfig: host, NetworkingConfig: networking}, "", " ")
	if err != nil {
		e.t.Error(err)
	}
	e.created = string(sent)
	id := idOf(len(e.containers) + 10)
	c := &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: id, Name: "/" + name, Image: config.Image, HostConfig: host, State: &container.State{Running: true, Pid: 1},
		},
		Config: config,
	}
	for _, bind := range host.Binds {
		source, rest, _ := strings.Cut(bind, ":")
		at, _, _ := strings.Cut(rest, ":")
		m := container.MountPoint{Type: mount.TypeVolume, Name: source, Destination: at}
		if strings.HasPrefix(source, "/") {
			m = container.MountPoint{Type: mount.TypeBind, Source: source, Destination: at, RW: !strings.HasSuffix(bind, ":ro")}
		}
		c.Mounts = append(c.Mounts, m)
	}
	for _, m := range host.Mounts {
		c.Mounts = append(c.Mounts, container.MountPoint{Type: m.Type, Name: strings.Repeat("a", 64), Destination: m.Target, RW: true})
	}
	if e.made != nil {
		e.made(c)
	}
	e.containers[id] = c
	return container.CreateResponse{ID: id, Warnings: []string{}}, nil
}

// find returns a container by id or name, as the engine does, unique prefixes of ids included.
func (e *engine) find(ref string) (*container.InspectResponse, error) {
	for _, id := range slices.Sorted(maps.Keys(e.containers)) {
		if c := e.containers[id]; strings.HasPrefix(id, ref) || c.Name == "/"+ref {
			return c, nil
		}
	}
	return nil, absent{"container: " + ref}
}

func (e *engine) on(what, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err := e.find(id)
	if err == nil {
		e.note(what + " " + id)
	}
	return err
}

func (e *engine) ContainerStart(_ context.Context, id string, _ container.StartOptions) error {
	return e.on("start", id)
}

func (e *engine) ContainerStop(_ context.Context, id string, _ container.StopOptions) error {
	return e.on("stop", id)
}

func (e *engine) ContainerRemove(_ context.Context, id string, opts container.RemoveOptions) error {
	if !opts.Force || !opts.RemoveVolumes {
		e.t.Errorf("removed with %+v, want by force and with its volumes", opts)
	}
	return e.on("remove", id)
}

func (e *engine) ContainerInspect(_ context.Context, id string) (container.InspectResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.looks == nil {
		e.looks = map[string]int{}
	}
	e.looks[id]++
	c, err := e.find(id)
	if err != nil {
		return container.InspectResponse{}, err
	}
	return *c, nil
}

func (e *engine) ContainerList(context.Context, container.ListOptions) ([]container.Summary, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []container.Summary
	for _, c := range e.containers { // it filters nothing: the door must
		all = append(all, container.Summary{ID: c.ID, Names: []string{c.Name}, Labels: c.Config.Labels})
	}
	return all, nil
}

func (e *engine) ContainerWait(context.Context, string, container.WaitCondition) (<-chan container.WaitResponse, <-chan error) {
	ended := make(chan container.WaitResponse, 1)
	ended <- container.WaitResponse{}
	return ended, nil
}

func (e *engine) VolumeCreate(_ context.Context, opts volume.CreateOptions) (volume.Volume, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note("create volume " + opts.Name)
	v, ok := e.volumes[opts.Name]
	if !ok { // the engine's create of one that is there gives that one
		v = volume.Volume{Name: opts.Name, Labels: opts.Labels, Driver: opts.Driver, Options: opts.DriverOpts}
		e.volumes[opts.Name] = v
	}
	return v, nil
}

func (e *engine) VolumeInspect(_ context.Context, name string) (volume.Volume, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v, ok := e.volumes[name]
	if !ok {
		return v, absent{"volume: " + name}
	}
	return v, nil
}

func (e *engine) VolumeRemove(_ context.Context, name string, _ bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note("remove volume " + name)
	delete(e.volumes, name)
	return nil
}

// idOf returns the n-th complete id.
func idOf(n int) string {
	s := strings.Repeat("0", 64) + strings.Repeat("f", n)
	return s[len(s)-64:]
}
