package provisioner

// Target is a place that sandboxes run on: a Docker engine, a namespace of a cluster, an account in a region. A Driver and a
// Runtime belong to one.
type Target struct {
	// Name is unique among the targets of an installation.
	Name string
	// Kind is that of its provider: "docker", "kubernetes", "aws", ... It tells which Driver and Runtime are made for it.
	Kind string
	// Endpoint is where the provider is reached, in its own form.
	Endpoint string
	// Labels are the platform team's.
	Labels   map[string]string
	Capacity Capacity
}

// Capacity is what a target can hold. Zero fields are not bounded.
type Capacity struct {
	Environments int64
	MilliCPUs    int64
	MemoryMiB    int64
}
