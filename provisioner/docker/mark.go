package docker

import (
	"context"

	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Marker = (*Runtime)(nil)

// Mark keeps labels on an empty volume: nothing else at the engine has labels, outlives its daemon and costs no process.
func (r *Runtime) Mark(ctx context.Context, name string, labels map[string]string) error {
	const op = "keep mark"
	if !r.owns(labels) || labels[provisioner.LabelMark] == "" || labels[provisioner.LabelEnvironment] != "" {
		return provisioner.Errorf(provisioner.Permanent, op, "the labels are not those of a mark")
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	_, err := r.api.VolumeCreate(cctx, volume.CreateOptions{Name: name, Driver: "local", Labels: labels})
	return r.fail(ctx, op, err)
}

// Unmark removes the volume, if it is one of ours.
func (r *Runtime) Unmark(ctx context.Context, name string) error {
	return r.Remove(ctx, provisioner.Ref{Kind: kindVolume, ID: name, Name: name}, "")
}
