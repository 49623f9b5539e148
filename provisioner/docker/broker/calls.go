package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"

	"github.com/bothy-env/bothy/provisioner"
)

// handle does one understood request.
func (d *door) handle(w http.ResponseWriter, r *http.Request, asked request) error {
	most := callTimeout
	if asked.call == callCreateContainer || asked.call == callCreateVolume || asked.call == callStartContainer {
		most = createTimeout
	}
	ctx, cancel := context.WithTimeout(r.Context(), most)
	defer cancel()
	stop := context.AfterFunc(d.ctx, cancel)
	defer stop()
	engine := d.b.cfg.Engine
	switch asked.call {
	case callPing:
		return d.ping(ctx, w)
	case callVersion:
		v, err := d.b.engineVersion(ctx)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, v)
	case callInfo:
		return d.info(ctx, w)
	case callListImages:
		return answer(w, http.StatusOK, []image.Summary{{ID: d.grant.Spec.Sandbox.Image, RepoTags: []string{}, RepoDigests: []string{}}})
	case callInspectImage:
		return d.inspectImage(ctx, w, asked.id)
	case callListContainers:
		return d.listContainers(ctx, w)
	case callCreateContainer:
		return d.createContainer(ctx, w, r.Body, asked.name)
	case callCreateVolume:
		return d.createVolume(ctx, w, r.Body)
	case callInspectVolume, callRemoveVolume:
		return d.volume(ctx, w, asked)
	}
	// What is left is about one container, which must be this environment's.
	found, err := d.scope.own(ctx, asked.id, asked.call == callInspect)
	if err != nil {
		return err
	}
	if asked.call == callStartContainer {
		if err := empty(r.Body); err != nil {
			return err
		}
	}
	if asked.call != callInspect && asked.call != callWaitContainer {
		if err := d.still(); err != nil {
			return err
		}
	}
	switch asked.call {
	case callInspect:
		told, err := d.said(ctx, found)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, told)
	case callStartContainer:
		if !d.grant.Create {
			return &provisioner.Refusal{Attribute: string(asked.call), Want: "nothing is made while an environment is destroyed"}
		}
		if err = engine.ContainerStart(ctx, asked.id, container.StartOptions{}); err == nil {
			d.starts.started(d.ctx, asked.id)
		}
	case callStopContainer:
		grace := 0 // nothing inside is worth waiting for
		err = engine.ContainerStop(ctx, asked.id, container.StopOptions{Timeout: &grace})
	case callRemoveContainer:
		if err = engine.ContainerRemove(ctx, asked.id, container.RemoveOptions{Force: true, RemoveVolumes: true}); err == nil && d.b.cfg.Removed != nil {
			d.b.cfg.Removed(found)
		}
	case callWaitContainer:
		return d.wait(ctx, w, asked.id)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *door) ping(ctx context.Context, w http.ResponseWriter) error {
	v, err := d.b.engineVersion(ctx)
	if err != nil {
		return err
	}
	w.Header().Set("Api-Version", v.APIVersion)
	w.Header().Set("Ostype", v.Os)
	w.Header().Set("Docker-Experimental", "false")
	w.WriteHeader(http.StatusOK)
	return nil
}

// engineVersion is what a provider needs to know of the engine. An engine that is replaced ends all connections, and the
// version that was agreed on is the lower one as long as this process lives.
func (b *Broker) engineVersion(ctx context.Context) (types.Version, error) {
	b.mu.Lock()
	known := b.version
	b.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	v, err := b.cfg.Engine.ServerVersion(ctx)
	if err != nil {
		return types.Version{}, err
	}
	// No newer than what this program itself speaks: what it does not know it cannot judge.
	v = types.Version{Version: v.Version, APIVersion: b.cfg.Engine.ClientVersion(), MinAPIVersion: v.MinAPIVersion, Os: v.Os, Arch: v.Arch}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version = &v
	return v, nil
}

// info tells nothing of the machine that a blueprint has a use for.
func (d *door) info(ctx context.Context, w http.ResponseWriter) error {
	v, err := d.b.engineVersion(ctx)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, system.Info{Name: "bothy", OSType: v.Os, Architecture: v.Arch, ServerVersion: v.Version})
}

func (d *door) inspectImage(ctx context.Context, w http.ResponseWriter, id string) error {
	if id != d.grant.Spec.Sandbox.Image {
		return notFound("image", id)
	}
	img, err := d.b.cfg.Engine.ImageInspect(ctx, id)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, img)
}

// listContainers returns this environment's containers, whatever was asked for.
func (d *door) listContainers(ctx context.Context, w http.ResponseWriter) error {
	all, err := d.b.cfg.Engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", provisioner.LabelEnvironment+"="+d.grant.Spec.Owner.Environment))})
	if err != nil {
		return err
	}
	own := []container.Summary{}
	for _, c := range all {
		if d.scope.owns(c.Labels) {
			own = append(own, c)
		}
	}
	return answer(w, http.StatusOK, own)
}

func (d *door) wait(ctx context.Context, w http.ResponseWriter, id string) error {
	ended, failed := d.b.cfg.Engine.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case got := <-ended:
		return answer(w, http.StatusOK, got)
	case err := <-failed:
		return err
	}
}

// decode reads a body strictly: one value, of known fields only.
func decode(body io.Reader, into any, what string) error {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || unanswered(err):
		return cutOff(err)
	}
	return &provisioner.Refusal{Attribute: what, Found: shorten(err.Error()), Want: "fields that bothy knows"}
}

// cutOff is a request that did not come whole, as of a provider that was ended: that says nothing of the blueprint.
func cutOff(err error) error {
	return fmt.Errorf("bothy: the request was cut off: %w: %w", err, errdefs.ErrInvalidArgument)
}

// empty refuses a body where there is none to be: an old engine takes a start's for the container's settings.
func empty(body io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(body, 1))
	if err != nil {
		return cutOff(err)
	}
	if len(data) > 0 {
		return &provisioner.Refusal{Attribute: "start container", Found: "settings", Want: "none"}
	}
	return nil
}

// message is an engine's error in its own words.
func message(err error) string {
	return strings.TrimPrefix(err.Error(), "Error response from daemon: ")
}
