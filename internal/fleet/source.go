package fleet

import "time"

// SourceState says whether anything was copied to an environment's workspace.
type SourceState string

// The states. SourceUnknown is that of an environment that nobody has yet, too.
const (
	SourceUnknown SourceState = ""
	SourceNone    SourceState = "none"
	SourceCopied  SourceState = "copied"
)

// Source is what was first copied to an environment's workspace. By and At are set when it was.
type Source struct {
	State SourceState
	By    string
	At    time.Time
}
