package broker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
)

const (
	// createTimeout is how long the engine has for a create. What has no answer by then is looked for by name.
	createTimeout = 2 * time.Minute
	// settleAfter is how long a create that lost its connection may still take effect. The engine reads what it was sent as soon
	// as it runs; this is the bound for one that is slow.
	settleAfter = 10 * time.Second
	// settleEvery is the time between two looks for it.
	settleEvery = time.Second
)

// createContainer judges a create, builds it anew and passes that on.
func (d *door) createContainer(ctx context.Context, w http.ResponseWriter, body io.Reader, name string) error {
	var asked container.CreateRequest
	if err := decode(body, &asked, "docker_container"); err != nil {
		return err
	}
	if err := d.maker.mayMake("docker_container.name", name); err != nil {
		return err
	}
	built, taken, err := buildContainer(&d.grant.Spec, name, asked)
	if err != nil {
		return err
	}
	// What is mounted is not removed meanwhile: the engine would make another, without labels.
	d.mounting.RLock()
	defer d.mounting.RUnlock()
	if err := d.scope.mounts(ctx, built.HostConfig); err != nil {
		return err
	}
	if err := d.extras.add(ctx, name, &built); err != nil {
		return err
	}
	made, err := d.maker.create(ctx, provisioner.Object{Kind: kindContainer, Name: name}, func(ctx context.Context) (string, any, error) {
		made, err := d.b.cfg.Engine.ContainerCreate(ctx, built.Config, built.HostConfig, built.NetworkingConfig, nil, name)
		return made.ID, made, err
	}, &taken)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, made)
}

// createVolume makes a volume of the environment's own.
func (d *door) createVolume(ctx context.Context, w http.ResponseWriter, body io.Reader) error {
	var asked volume.CreateOptions
	if err := decode(body, &asked, "docker_volume"); err != nil {
		return err
	}
	if err := d.maker.mayMake("docker_volume.name", asked.Name); err != nil {
		return err
	}
	if asked.Name == d.grant.Spec.Owner.ResourceName() { // no container could mount it
		return &provisioner.Refusal{Attribute: "docker_volume.name", Found: asked.Name, Want: "a name that begins with var.bothy.name and a hyphen"}
	}
	built, err := buildVolume(&d.grant.Spec, asked)
	if err != nil {
		return err
	}
	// The engine's create of a volume that is there succeeds, and Terraform would take it for its own.
	if _, err := d.b.cfg.Engine.VolumeInspect(ctx, built.Name); err == nil {
		return &provisioner.Refusal{Attribute: "docker_volume.name", Found: shorten(built.Name), Want: "the name of no volume that exists"}
	} else if statusOf(err) != http.StatusNotFound {
		return err
	}
	made, err := d.maker.create(ctx, provisioner.Object{Kind: kindVolume, Name: built.Name}, func(ctx context.Context) (string, any, error) {
		made, err := d.b.cfg.Engine.VolumeCreate(ctx, built)
		return made.Name, made, err
	}, &share{})
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, made)
}

var errMaking = fmt.Errorf("bothy: something that may use it is being made: %w", errdefs.ErrConflict)

// volume looks at or removes a volume of the environment's own.
func (d *door) volume(ctx context.Context, w http.ResponseWriter, asked request) error {
	v, err := d.b.cfg.Engine.VolumeInspect(ctx, asked.name)
	if err != nil {
		return err
	}
	if v.Name != asked.name || !d.scope.owns(v.Labels) {
		return notFound(kindVolume, asked.name)
	}
	if asked.call == callInspectVolume {
		return answer(w, http.StatusOK, v)
	}
	d.mounting.Lock()
	defer d.mounting.Unlock()
	if err := d.still(); err != nil {
		return err
	}
	if d.maker.underWay() { // one whose request has ended: it holds no lock
		return errMaking
	}
	if err := d.b.cfg.Engine.VolumeRemove(ctx, asked.name, true); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
