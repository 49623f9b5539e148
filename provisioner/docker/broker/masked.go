package broker

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// maskedPaths are files of the kernel that a container does not see: those that engines mask by themselves, each of its
// version, and those that tell root inside of the whole machine's memory, which no engine masks.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
	"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",

	"/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/pagetypeinfo", "/proc/slabinfo", "/proc/vmallocinfo",
}

// masked refuses a container that sees one of them.
func masked(h *container.HostConfig) *provisioner.Refusal {
	for _, path := range maskedPaths {
		if !slices.Contains(h.MaskedPaths, path) {
			return refusal("security_opts", "a container that sees "+path, "the masks of "+strings.Join(maskedPaths, ", "))
		}
	}
	return nil
}
