package config

// LoadAs is Load, and SampleAs is Sample, for another user's id.
var (
	LoadAs   = load
	SampleAs = sample
)
