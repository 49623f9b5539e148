package wire

// CopyType is the media type of a copy out of an environment that tells how it ended; who accepts it gets a body of two parts.
// The first is the tar stream as the sandbox made it, the second a CopyEnd as JSON, which bothyd adds. The boundary is random, so
// nothing inside can write one. Who does not accept it gets the tar stream alone, and an answer that breaks off when something
// was wrong.
const CopyType = "multipart/mixed"

// CopyEnd ends a copy out of an environment.
type CopyEnd struct {
	Bytes   int64    `json:"bytes" doc:"Length of the tar stream"`
	SHA256  string   `json:"sha256" doc:"Checksum of the tar stream, in hex"`
	Problem *Problem `json:"problem,omitempty" doc:"Why the stream is incomplete; absent if it is complete"`
	// Notes are the first of the files that were copied, or left out, otherwise than they are; NoteCount says how many there are.
	Notes     []CopyNote `json:"notes,omitempty" doc:"Files that changed during the copy, and entries that a tar cannot contain"`
	NoteCount int        `json:"note_count,omitempty" doc:"Total number of notes, which may exceed the listed ones"`
}

// Kinds of notes: what was written to, was cut, or was removed while it was copied, and what has no place in an archive.
const (
	CopyChanged = "changed"
	CopyShrank  = "shrank"
	CopyGone    = "gone"
	CopySocket  = "socket"
)

// CopyNote is one of them. The path is the sandbox's own text.
type CopyNote struct {
	Path string `json:"path"`
	Kind string `json:"kind" doc:"changed, shrank, gone or socket"`
}
