package fleet

import "time"

// SourceState is whether files were copied to an environment's workspace.
type SourceState string

// The states. SourceUnknown also applies to an environment without a holder.
const (
	SourceUnknown SourceState = ""
	SourceNone    SourceState = "none"
	SourceCopied  SourceState = "copied"
)

// Source is what was first copied to an environment's workspace. By and At are set once it was.
type Source struct {
	State SourceState
	By    string
	At    time.Time
}
