package inventory

import (
	"context"

	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

var _ provisioner.Marker = (*Inventory)(nil)

// Mark keeps labels on an empty volume: nothing else at the engine has labels, outlives its daemon and costs no process.
func (i *Inventory) Mark(ctx context.Context, name string, labels map[string]string) error {
	const op = "keep mark"
	if !i.engine.Owns(labels) || labels[provisioner.LabelMark] == "" || labels[provisioner.LabelEnvironment] != "" {
		return provisioner.Errorf(provisioner.Permanent, op, "the labels are not those of a mark")
	}
	cctx, cancel := i.engine.Call(ctx)
	defer cancel()
	_, err := i.engine.API.VolumeCreate(cctx, volume.CreateOptions{Name: name, Driver: "local", Labels: labels})
	return i.engine.Fail(ctx, op, err)
}

// Unmark removes the volume, if it is one of ours.
func (i *Inventory) Unmark(ctx context.Context, name string) error {
	return i.Remove(ctx, provisioner.Ref{Kind: engine.KindVolume, ID: name, Name: name}, "")
}
