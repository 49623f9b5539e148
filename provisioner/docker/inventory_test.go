package docker_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
)

// TestInspect: what the engine calls running is not always usable.
func TestInspect(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	st, err := e.Inspect(t.Context(), id)
	if err != nil || !st.Running || st.Paused || time.Since(st.StartedAt) > time.Minute || st.StartedAt.IsZero() {
		t.Errorf("running: got %+v, %v", st, err)
	}
	if err := e.api.ContainerPause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if st, err = e.Inspect(t.Context(), id); err != nil || st.Running || !st.Paused {
		t.Errorf("paused: got %+v, %v", st, err)
	}
	if err := e.api.ContainerUnpause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	ended := talker(e, "exit 3")
	until(t, "the sandbox's end", func() bool {
		st, err = e.Inspect(t.Context(), ended)
		return err != nil || !st.Running
	})
	if err != nil || st.ExitCode != 3 {
		t.Errorf("ended: got %+v, %v", st, err)
	}
	_, err = e.Inspect(t.Context(), noSandbox)
	wantClass(t, err, provisioner.NotFound)
}

func TestResolveImage(t *testing.T) {
	e := newEngine(t)
	want := testImage(t, e.api)
	got, err := e.ResolveImage(t.Context(), "bothy-test/docker:"+testRun)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "id", got, want)
	_, err = e.ResolveImage(t.Context(), "bothy-test/nosuch:1")
	wantClass(t, err, provisioner.NotFound)
}

// inventory lists everything of an installation.
func (e *engine) inventory(ctx context.Context, instance string) ([]provisioner.Found, error) {
	return provisioner.ListAll(ctx, e, provisioner.Selector{Instance: instance})
}

// remove takes something away as it was found.
func (e *engine) remove(ctx context.Context, f provisioner.Found) error {
	return e.Remove(ctx, f.Ref, f.Environment())
}

// TestInventoryRemove: everything labelled is listed with verified labels, whatever its state, and nothing
// of another installation; each can be removed, again and by many at once.
func TestInventoryRemove(t *testing.T) {
	e := newEngine(t)
	other := newEngine(t)
	ctx := t.Context()
	id := e.sandbox()
	other.sandbox()
	o := e.owner()
	net, err := e.api.NetworkCreate(ctx, o.ResourceName(), network.CreateOptions{Labels: e.labels(o), Internal: true,
		IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: "172.29.255.240/28"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.api.NetworkDisconnect(ctx, "none", id, true); err != nil {
		t.Fatal(err)
	}
	if err := e.api.NetworkConnect(ctx, net.ID, id, nil); err != nil {
		t.Fatal(err)
	}
	vol, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: o.ResourceName(), Labels: e.labels(o)})
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := e.api.ContainerCreate(ctx, &container.Config{Image: testImage(t, e.api), Cmd: []string{"true"}, Labels: e.labels(o)}, nil, nil, nil, o.ResourceName())
	if err != nil {
		t.Fatal(err)
	}

	found, err := e.inventory(ctx, e.instance)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Kind+" "+f.ID)
		if !testKey.Verify(f.Labels) || f.Name == "" || time.Since(f.CreatedAt).Abs() > time.Minute {
			t.Errorf("found %+v: labels, name or time are wrong", f)
		}
	}
	want := []string{"container " + id, "container " + stopped.ID, "network " + net.ID, "volume " + vol.Name}
	slices.Sort(got)
	slices.Sort(want)
	wantEqual(t, "found", got, want)

	// Networks before the containers that are on them: by force. Volumes are in use by none.
	slices.SortFunc(found, func(a, b provisioner.Found) int { return -strings.Compare(a.Kind, b.Kind) })
	var wg sync.WaitGroup
	for _, f := range found {
		for range 3 {
			wg.Go(func() {
				if err := e.remove(ctx, f); err != nil {
					t.Errorf("remove %s: %v", f.Kind, err)
				}
			})
		}
		wg.Wait()
	}
	left, err := e.inventory(ctx, e.instance)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "left", left, []provisioner.Found(nil))
	theirs, err := e.inventory(ctx, other.instance)
	if err != nil || len(theirs) != 1 {
		t.Errorf("the other installation: got %v, %v; want its sandbox untouched", theirs, err)
	}
}

// TestListOfOneEnvironment: it has everything of that one, and nothing of another.
func TestListOfOneEnvironment(t *testing.T) {
	e := newEngine(t)
	one, other := e.found(e.sandbox()), e.found(e.sandbox())
	vol, err := e.api.VolumeCreate(t.Context(), volume.CreateOptions{Name: one.Name, Labels: one.Labels})
	if err != nil {
		t.Fatal(err)
	}
	all, err := provisioner.ListAll(t.Context(), e, provisioner.Selector{Instance: e.instance, Environment: one.Environment()})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range all {
		ids = append(ids, f.ID)
	}
	wantEqual(t, "listed", ids, []string{one.ID, vol.Name})
	if one.Environment() == other.Environment() {
		t.Error("the two are of one environment: the test shows nothing")
	}
}

// TestRemoveOnlyOurs: forged, missing or another installation's labels keep a resource from being removed.
func TestRemoveOnlyOurs(t *testing.T) {
	e, other := newEngine(t), newEngine(t)
	forge := func(labels func(provisioner.Owner) map[string]string) string {
		return e.sandbox(func(c *container.Config, _ *container.HostConfig) {
			c.Labels = labels(e.owner())
			c.Labels["bothy.test.docker"] = testRun
		})
	}
	elsewhere := e.sandbox()
	for name, id := range map[string]string{
		"another environment's": elsewhere,
		"no labels":             forge(func(provisioner.Owner) map[string]string { return map[string]string{} }),
		"other key":             forge(provisioner.Key("another key").Labels),
		"moved": forge(func(o provisioner.Owner) map[string]string {
			l := testKey.Labels(o)
			l["bothy.environment"] = "x"
			return l
		}),
		"another's":    other.sandbox(),
		"only a label": forge(func(o provisioner.Owner) map[string]string { return map[string]string{"bothy.instance": o.Instance} }),
	} {
		t.Run(name, func(t *testing.T) {
			err := e.remove(t.Context(), provisioner.Found{Ref: provisioner.Ref{Kind: "container", ID: id}, Labels: testKey.Labels(e.owner())})
			wantClass(t, err, provisioner.Conflict)
			if _, err := e.Inspect(t.Context(), id); err != nil {
				t.Errorf("it is gone: %v", err)
			}
		})
	}
	for kind, id := range map[string]string{"container": noSandbox, "network": "nosuch" + testRun, "volume": "nosuch" + testRun} {
		if err := e.remove(t.Context(), provisioner.Found{Ref: provisioner.Ref{Kind: kind, ID: id}}); err != nil {
			t.Errorf("what is gone, a %s: %v", kind, err)
		}
	}
	// The engine takes the beginning of an id, and a name, for the container's.
	own := e.found(elsewhere)
	for _, part := range []string{elsewhere[:2], elsewhere[:12], elsewhere[:63], own.Name, strings.ToUpper(elsewhere)} {
		f := own
		f.ID = part
		wantClass(t, e.remove(t.Context(), f), provisioner.Permanent)
		_, err := e.Inspect(t.Context(), part)
		wantClass(t, err, provisioner.NotFound)
		_, err = e.Exec(t.Context(), part, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
		wantClass(t, err, provisioner.NotFound)
		wantClass(t, e.Logs(t.Context(), part, provisioner.LogsRequest{}, nil), provisioner.NotFound)
		wantClass(t, e.Pause(t.Context(), part), provisioner.NotFound)
		_, err = e.Stage(t.Context(), part, "dev")
		wantClass(t, err, provisioner.NotFound)
	}
	if st, err := e.Inspect(t.Context(), elsewhere); err != nil || !st.Running {
		t.Errorf("the sandbox: %+v, %v", st, err)
	}
	wantClass(t, e.remove(t.Context(), provisioner.Found{Ref: provisioner.Ref{Kind: "pod", ID: "x"}}), provisioner.Permanent)
	wantClass(t, e.remove(t.Context(), provisioner.Found{Ref: provisioner.Ref{Kind: "container"}}), provisioner.Permanent)
}
