package api

import (
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/provisioner"
)

// usage is what an environment uses as the wire has it.
func usage(u provisioner.Usage, now time.Time) *wire.EnvironmentUsage {
	w := &wire.EnvironmentUsage{At: now.UTC()}
	if w.CPUs = &u.CPUs; u.CPUs < 0 {
		w.CPUs, w.Unknown = nil, append(w.Unknown, wire.UsageCPUs)
	}
	for _, n := range []struct {
		name  string
		value int64
		field **int64
	}{{wire.UsageMemory, u.Memory, &w.MemoryBytes}, {wire.UsageProcesses, u.Pids, &w.Processes}, {wire.UsageDisk, u.Disk, &w.DiskBytes}} {
		if n.value < 0 {
			w.Unknown = append(w.Unknown, n.name)
			continue
		}
		*n.field = &n.value
	}
	return w
}
