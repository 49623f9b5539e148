package env

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// detachedMost limits the answer to the start of a background command, in bytes.
const detachedMost = 8 << 10

// detach starts a command in the background and prints how to follow and stop it.
func detach(ctx context.Context, f *cmdutil.Factory, name string, start wire.ExecStart) error {
	c, err := f.Client()
	if err != nil {
		return err
	}
	start.Detach, start.Stdin = true, false
	out, errs := &bounded{most: detachedMost}, &bounded{most: detachedMost}
	code, err := c.Exec(ctx, name, start, client.ExecStreams{Stdout: out, Stderr: errs, Ended: func(r wire.ExecResult) {
		if r.Ended != nil {
			tellEnded(f, name, *r.Ended)
		}
	}})
	if err != nil {
		return err
	}
	var began wire.ExecDetached
	if code != 0 || json.Unmarshal(out.buf.Bytes(), &began) != nil || began.Process <= 1 {
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: "cannot start the command: " + errs.buf.String(), Hint: "bothy exec " + name + " -- ps -ef"}
	}
	return f.Print(began, func(w io.Writer) error {
		output := format.Clean(began.Output)
		_, err := fmt.Fprintf(w, "Started in %s as process %d\n  output  bothy exec %s -- tail -n +1 -f %s\n  stop    bothy exec %s -- sh -c 'kill -- -%d'\n",
			name, began.Process, name, output, name, began.Process)
		return err
	})
}
