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

// detachedMost bounds what is kept of the answer of a detached command's start.
const detachedMost = 8 << 10

// detach begins a command that runs on by itself, and says how to follow and to end it.
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
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: "the command was not started: " + errs.buf.String(), Hint: "bothy exec " + name + " -- ps -ef"}
	}
	return f.Print(began, func(w io.Writer) error {
		output := format.Clean(began.Output)
		_, err := fmt.Fprintf(w, "started in %s as process %d\noutput  bothy exec %s -- tail -n +1 -f %s\nend it  bothy exec %s -- sh -c 'kill -- -%d'\n",
			name, began.Process, name, output, name, began.Process)
		return err
	})
}
