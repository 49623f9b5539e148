package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// A sandbox shares its holder's /etc/hosts, /etc/hostname and /etc/resolv.conf, which the engine mounts into it
// writable. The engine reads them when the holder leaves its network, the first of them several times over: what
// root inside a sandbox had written into it would be the engine's memory.

// longestNetFile bounds such a file when its holder goes, in bytes.
const longestNetFile = 64 << 10

// files returns the binds (HostConfig.Binds) with which a sandbox sees the network's files of its reservation
// without being able to write them. It works wherever the engine is: they are the engine's own files.
func (h *holders) files(ctx context.Context, reserved string) ([]string, error) {
	const op = "find the network's files"
	name := sandbox.SlotOf(reserved)
	cctx, cancel := h.engine.Call(ctx)
	defer cancel()
	c, err := h.engine.API.ContainerInspect(cctx, name)
	if err != nil {
		return nil, h.engine.Fail(ctx, op, err)
	}
	if c.Config == nil || c.Config.Labels[sandbox.LabelSlot] == "" || !h.engine.Owns(c.Config.Labels) {
		return nil, engine.Foreign(op, engine.KindContainer, name)
	}
	var binds []string
	for _, f := range netFiles(c) {
		if f.path == "" {
			return nil, provisioner.Errorf(provisioner.Transient, op, "the holder of network %s has no %s", name, f.inside)
		}
		binds = append(binds, f.path+":"+f.inside+":ro")
	}
	return binds, nil
}

type netFile struct{ path, inside string }

func netFiles(c container.InspectResponse) []netFile {
	return []netFile{{c.HostsPath, "/etc/hosts"}, {c.ResolvConfPath, "/etc/resolv.conf"}, {c.HostnamePath, "/etc/hostname"}}
}

// TrimFiles cuts a holder's files to what an engine can take, where bothyd may touch them. It is for a sandbox that
// could write them after all.
func TrimFiles(e *engine.Client, c container.InspectResponse) error {
	if !e.Local || os.Geteuid() != 0 {
		return nil
	}
	for _, f := range netFiles(c) {
		info, err := os.Lstat(f.path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() <= longestNetFile) {
			continue
		}
		if err == nil {
			e.Log.Warn("a sandbox wrote into a file of the engine's; it is cut", "file", f.inside, "network", c.Name, "bytes", info.Size())
			err = os.Truncate(f.path, longestNetFile)
		}
		if err != nil {
			return fmt.Errorf("cut %s of the network's holder: %w", f.inside, err)
		}
	}
	return nil
}
