package wire

import "time"

// EnvironmentUsage is the current resource usage of an environment. Unknown fields are absent and listed in Unknown.
type EnvironmentUsage struct {
	At          time.Time `json:"at" doc:"When"`
	CPUs        *float64  `json:"cpus,omitempty" doc:"CPUs in use, over the last fraction of a second" example:"0.52"`
	MemoryBytes *int64    `json:"memory_bytes,omitempty" doc:"Memory in bytes, without file pages that the kernel can drop" example:"222298112"`
	Processes   *int64    `json:"processes,omitempty" doc:"Processes and threads" example:"14"`
	DiskBytes   *int64    `json:"disk_bytes,omitempty" doc:"Bytes written to its file system, up to a minute old, without a limit" example:"1288490188"`
	Unknown     []string  `json:"unknown,omitempty" enum:"cpus,memory_bytes,processes,disk_bytes" doc:"Fields that are currently unknown"`
}

// Names of the fields of EnvironmentUsage, as Unknown has them.
const (
	UsageCPUs      = "cpus"
	UsageMemory    = "memory_bytes"
	UsageProcesses = "processes"
	UsageDisk      = "disk_bytes"
)
