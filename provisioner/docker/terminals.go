package docker

import (
	"fmt"
	"maps"

	"github.com/docker/docker/api/types/mount"
)

// MaxTerminals is how many terminals a sandbox may have open at once, out of the machine's (kernel.pty.max).
const MaxTerminals = 64

// Terminals is the mount (HostConfig.Mounts) of a sandbox's own file system of terminals, which holds so many and no
// more: the engine's has no bound but the machine's. It is a volume without a name, which goes when the container is
// removed with its volumes; labels are an owner's, by which it is found should it stay.
func Terminals(labels map[string]string) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Target: "/dev/pts",
		VolumeOptions: &mount.VolumeOptions{
			NoCopy: true, Labels: maps.Clone(labels),
			DriverConfig: &mount.Driver{Name: "local", Options: map[string]string{
				"type": "devpts", "device": "devpts",
				// As the engine mounts its own, and the bound.
				"o": fmt.Sprintf("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5,max=%d", MaxTerminals),
			}},
		},
	}
}
