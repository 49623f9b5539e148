package env

import (
	"fmt"
	"slices"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/format"
)

// usage returns rows with an environment's resource usage and limits; none if the daemon reports no usage.
func usage(env wire.Environment) [][2]string {
	u := env.Usage
	if u == nil {
		return nil
	}
	said := func(field string, known bool, text string, args ...any) string {
		switch {
		case known:
			return fmt.Sprintf(text, args...)
		case slices.Contains(u.Unknown, field):
			return "unknown"
		}
		return ""
	}
	return [][2]string{
		{"CPU", said(wire.UsageCPUs, u.CPUs != nil, "%.2f of %g CPUs", value(u.CPUs), env.Size.CPUs)},
		{"Memory", said(wire.UsageMemory, u.MemoryBytes != nil, "%s of %s", format.Bytes(value(u.MemoryBytes)), format.Bytes(env.Size.MemoryMiB<<20))},
		{"Processes", said(wire.UsageProcesses, u.Processes != nil, "%d of %d", value(u.Processes), env.Size.Pids)},
		{"Disk", said(wire.UsageDisk, u.DiskBytes != nil, "%s written, no limit", format.Bytes(value(u.DiskBytes)))},
	}
}

// value returns the value of a field, zero if it is absent.
func value[T any](field *T) (v T) {
	if field != nil {
		v = *field
	}
	return v
}
