package env

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/client"
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
