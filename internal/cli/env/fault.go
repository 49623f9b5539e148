package env

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/render"
)

// quiet shows no progress.
var quiet render.Progress = render.Nothing{}

// local gives an error of this machine's files its code: what is not there is not found.
func local(doing string, err error) error {
	code := wire.CodeConflict
	if errors.Is(err, fs.ErrNotExist) {
		code = wire.CodeNotFound
	}
	return &cmdutil.Error{Code: code, Sentence: fmt.Sprintf("%s: %v", doing, err), Err: err}
}
