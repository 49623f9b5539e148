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

// transfer shows how a copy goes on: without a terminal only of one that takes long.
func transfer(f *cmdutil.Factory) render.Progress {
	if f.JSON() {
		return render.Nothing{}
	}
	return render.NewPatient(f.IO, f.Now)
}

// piped is the display for a transfer through a standard stream; none when that is the terminal itself.
func piped(f *cmdutil.Factory, terminal bool) render.Progress {
	if f.JSON() || terminal {
		return render.Nothing{}
	}
	return render.NewHushed(f.IO, f.Now)
}

// warn tells of something of the user's that is not as it was. Machines are told as well: a line of JSON.
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

// local gives an error of this machine's files its code: what is not there is not found.
func local(doing string, err error) error {
	code := wire.CodeConflict
	if errors.Is(err, fs.ErrNotExist) {
		code = wire.CodeNotFound
	}
	return &cmdutil.Error{Code: code, Sentence: fmt.Sprintf("%s: %v", doing, err), Err: err}
}

// underWay gives what failed inside, while files were copied, the code of a failure. The daemon calls it invalid, because
// trying again would not help; here that word is for a command line that is wrong, where nothing was done. A request
// that the daemon could not take names its places, and stays what it is.
func underWay(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Code != wire.CodeInvalid || len(e.Places) > 0 {
		return err
	}
	return &cmdutil.Error{Code: wire.CodeConflict, Sentence: e.Sentence, Hint: e.Hint, Err: err}
}
