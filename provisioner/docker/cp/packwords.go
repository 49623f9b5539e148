package cp

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/output"
)

const (
	// maxWordLine bounds a line of tar's that is kept, in bytes; what is longer is cut.
	maxWordLine = 1024
	// maxWordLines is how many complaints are kept; the others are counted.
	maxWordLines = 5
)

// packWords reads what tar says while it packs, line by line: names in it are the sandbox's, so neither a line nor their number is
// kept whole.
type packWords struct {
	mu   sync.Mutex
	line []byte
	// faults are the first complaints that mean that something is missing.
	faults []string
	count  int
	// noted are what is no fault: files that were written to, shrank or went while they were read, as a busy folder's do.
	noted provisioner.CopyNotes
}

// maxCopyNotes is how many notes are kept; the others are counted.
const maxCopyNotes = 20

// notedAs are the ends of tar's lines that are notes.
var notedAs = []struct {
	end  string
	kind provisioner.CopyNoteKind
}{
	{": file changed as we read it", provisioner.CopyChanged},
	{": File removed before we read it", provisioner.CopyGone},
	{": socket ignored", provisioner.CopySocket},
	{"; padding with zeros", provisioner.CopyShrank},
}

// note keeps a line that is one of those, and reports whether it is.
func (w *packWords) note(line string) bool {
	for _, n := range notedAs {
		name, found := strings.CutSuffix(line, n.end)
		if !found {
			continue
		}
		if n.kind == provisioner.CopyShrank {
			at := strings.LastIndex(name, ": File shrank by ")
			if at < 0 {
				return false
			}
			name = name[:at]
		}
		w.noted.Count++
		if len(w.noted.First) < maxCopyNotes {
			w.noted.First = append(w.noted.First, provisioner.CopyNote{Path: strings.TrimPrefix(name, "tar: "), Kind: n.kind})
		}
		return true
	}
	return false
}

// notes returns what was noted.
func (w *packWords) notes() provisioner.CopyNotes {
	w.mu.Lock()
	defer w.mu.Unlock()
	return provisioner.CopyNotes{First: slices.Clone(w.noted.First), Count: w.noted.Count}
}

func (w *packWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range p {
		if c == '\n' {
			w.endLine()
			continue
		}
		// The beginning names the file and the end says what is wrong with it: of a long line the middle goes.
		if len(w.line) == maxWordLine {
			w.line = append(w.line[:maxWordLine/2], w.line[maxWordLine/2+1:]...)
		}
		w.line = append(w.line, c)
	}
	return len(p), nil
}

func (w *packWords) endLine() {
	line := strings.TrimSpace(string(w.line))
	w.line = w.line[:0]
	switch {
	case line == "", strings.Contains(line, "Exiting with failure status"), strings.Contains(line, "Error is not recoverable"),
		strings.Contains(line, "error exit delayed"), strings.Contains(line, "Removing leading"):
		return
	case w.note(line):
		return
	}
	w.count++
	if len(w.faults) < maxWordLines {
		w.faults = append(w.faults, strings.TrimPrefix(line, "tar: "))
	}
}

// onlyChanged reports whether tar complained of nothing but files that were written to meanwhile.
func (w *packWords) onlyChanged() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLine()
	return w.noted.Count > 0 && w.count == 0
}

// String is what tar complained of.
func (w *packWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLine()
	if w.count == 0 {
		return "it said nothing"
	}
	text := strings.Join(w.faults, "; ")
	if more := w.count - len(w.faults); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// packOutcome says whether tar packed all of it.
func packOutcome(code int, err error, file, user string, words *packWords) error {
	switch {
	case err != nil:
		return engine.During(opCopyFrom, err)
	case code == 0, code == 1 && words.onlyChanged():
		return nil
	case code == exitNotThere:
		return provisioner.Errorf(provisioner.NotFound, opCopyFrom, "%q does not exist in the sandbox, or user %q may not see it", file, user)
	case code == 127:
		return provisioner.Errorf(provisioner.Permanent, opCopyFrom, "the sandbox's image has no tar, which bothy needs to copy files")
	case code > 128 && code < 128+65:
		return provisioner.Errorf(provisioner.Permanent, opCopyFrom, "tar in the sandbox was ended by signal %d while it read %q", code-128, file)
	}
	said := words.String()
	return provisioner.Errorf(output.ClassOf(said), opCopyFrom, "reading %q failed with code %d: %s", file, code, said)
}
