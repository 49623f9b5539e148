package accounts

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
)

// labelUsers marks a container that is made to read an image's users, and never started.
const labelUsers = "bothy.users"

// Label says which process made a reader: "PLACE PROCESS", or "PROCESS" where nothing tells which processes have ended. One
// process at a time uses a place, the folder for /etcs on this machine.
func (r *Reader) Label() string {
	if r.place == "" {
		return r.process
	}
	return r.place + " " + r.process
}

// isLeft reports whether a reader was made by an earlier process of this one's place.
func (r *Reader) isLeft(label string) bool {
	place, process, ok := strings.Cut(label, " ")
	return ok && r.place != "" && place == r.place && process != r.process
}

// folderPlace names a folder of this machine; "" when it is unknown.
func folderPlace(dir string) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s.%d.%d", strings.TrimSpace(string(boot)), sys.Dev, sys.Ino)
}

// WithReader returns a container that is made from an image and never started, for reading its files, and removes it.
func (r *Reader) WithReader(ctx context.Context, op, image string, read func(ctx context.Context, id string) error) error {
	cctx, cancel := r.engine.Call(ctx)
	defer cancel()
	labels := r.engine.Key.Labels(provisioner.Owner{Instance: r.engine.Instance, Blueprint: "users@0", User: "bothyd", Created: time.Now()})
	labels[labelUsers] = r.Label()
	made, err := r.engine.API.ContainerCreate(cctx,
		&container.Config{Image: image, Entrypoint: []string{"/never"}, Labels: labels, NetworkDisabled: true},
		&container.HostConfig{NetworkMode: "none", ReadonlyRootfs: true, CapDrop: []string{"ALL"}, LogConfig: container.LogConfig{Type: "none"}},
		nil, nil, "")
	if err != nil {
		return r.engine.Fail(ctx, op, err)
	}
	defer func() {
		rctx, cancel := r.engine.Call(context.WithoutCancel(ctx))
		defer cancel()
		gone := r.engine.API.ContainerRemove(rctx, made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if gone != nil { // a later Reconcile removes it
			r.engine.Log.Warn("removing the container that read an image's users failed", "container", made.ID, "error", gone)
		}
	}()
	return read(cctx, made.ID)
}

// Sweep removes what readAccounts left: its process was killed, or the engine was away. What fails is done the next time.
func (r *Reader) Sweep(ctx context.Context) {
	cctx, cancel := r.engine.Call(ctx)
	defer cancel()
	left, err := r.engine.API.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", labelUsers), filters.Arg("label", provisioner.LabelInstance+"="+r.engine.Instance))})
	if err != nil {
		return // whoever calls meets it too, and says so
	}
	for _, c := range left {
		if !r.engine.Owns(c.Labels) || !r.isLeft(c.Labels[labelUsers]) && time.Since(time.Unix(c.Created, 0)) < r.LeftAfter {
			continue
		}
		if err := r.engine.API.ContainerRemove(cctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			r.engine.Log.Warn("removing a container that read an image's users failed", "container", c.ID, "error", err)
		}
	}
}
