package env

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/client"
)

// transfer returns the progress display of a copy. Without a terminal it shows only copies that take long.
func transfer(f *cmdutil.Factory) render.Progress {
	if f.JSON() {
		return render.Nothing{}
	}
	return render.NewPatient(f.IO, f.Now)
}

// piped returns the progress display of a transfer through stdin or stdout; none if that is the terminal itself.
func piped(f *cmdutil.Factory, terminal bool) render.Progress {
	if f.JSON() || terminal {
		return render.Nothing{}
	}
	return render.NewHushed(f.IO, f.Now)
}

// warn prints notes on the user's files on stderr; with JSON output, one JSON object per line.
func warn(f *cmdutil.Factory, notes ...string) {
	for _, note := range notes {
		if !f.JSON() {
			f.Errf("%s\n", format.Clean(note))
			continue
		}
		line, err := json.Marshal(map[string]any{"warning": map[string]string{"detail": note}})
		if err == nil {
			f.Errf("%s\n", line)
		}
	}
}

// local adds a code to an error about a local file: not found if the file does not exist.
func local(doing string, err error) error {
	code := wire.CodeConflict
	if errors.Is(err, fs.ErrNotExist) {
		code = wire.CodeNotFound
	}
	return &cmdutil.Error{Code: code, Sentence: fmt.Sprintf("%s: %v", doing, err), Err: err}
}

// underWay changes the code of an error during a copy from invalid to conflict. The daemon uses invalid because a retry would not
// help, but here it would mean a usage error after which nothing was changed. An invalid request names its places and stays as is.
func underWay(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Code != wire.CodeInvalid || len(e.Places) > 0 {
		return err
	}
	return &cmdutil.Error{Code: wire.CodeConflict, Sentence: e.Sentence, Hint: e.Hint, Err: err}
}
