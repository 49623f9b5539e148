package env

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/unpack"
	"github.com/bothy-env/bothy/internal/client"
)

// maxMatches limits the names that a pattern matches, in bytes, because the answer comes from the sandbox.
const maxMatches = 1 << 20

// matches prints the names that a pattern matches, each followed by NUL. With an empty IFS the shell expands the pattern and does
// nothing else with it.
var matches = []string{"sh", "-c", `cd -- "$1" || exit 1; IFS=; for f in $2; do if [ -e "$f" ] || [ -L "$f" ]; then printf '%s\0' "$f"; fi; done`, "sh"}

// isPattern reports whether a path may be a pattern. A file of exactly that name takes precedence.
func isPattern(p string) bool { return strings.ContainsAny(p, "*?[") }

// receiveAll copies every file that a pattern matches; missing is the error for a pattern without matches.
func (x *copier) receiveAll(ctx context.Context, env wire.Environment, pattern string, contents bool, copied *Copied, missing error) error {
	names, err := x.expand(ctx, env, path.Clean(pattern))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return missing
	}
	if len(names) > 1 {
		if x.opts.Dst == "-" {
			return cmdutil.Usagef("cp: %s matches %d files, and only one can be copied to stdout", x.opts.Src, len(names))
		}
		if info, err := os.Stat(x.opts.Dst); err != nil || !info.IsDir() {
			return cmdutil.Usagef("cp: %s matches %d files, so %s must be an existing directory", x.opts.Src, len(names), x.opts.Dst)
		}
	}
	var leftOut unpack.Refused
	for _, name := range names {
		if !path.IsAbs(name) {
			name = path.Join(env.Workspace, name)
		}
		err := x.receive(ctx, env, path.Clean(name), contents, copied)
		if refused, ok := errors.AsType[*unpack.Refused](err); ok {
			leftOut.Add(refused)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if len(names) > 1 {
		copied.Path = x.opts.Dst
	}
	if leftOut.Count > 0 {
		return &leftOut
	}
	return nil
}

// expand expands a pattern with the shell of the environment.
func (x *copier) expand(ctx context.Context, env wire.Environment, pattern string) ([]string, error) {
	out := &bounded{most: maxMatches}
	start := wire.ExecStart{Command: append(matches[:len(matches):len(matches)], env.Workspace, pattern), User: x.opts.User}
	code, err := x.client.Exec(ctx, client.ID(env.ID), start, client.ExecStreams{Stdout: out})
	switch {
	case err != nil:
		return nil, err
	case out.over:
		return nil, cmdutil.Usagef("cp: %s matches too many files", x.opts.Src).WithHint("copy their directory")
	case code != 0:
		return nil, fmt.Errorf("cannot find %s: the shell in the environment failed with exit code %d", x.opts.Src, code)
	}
	var names []string
	for name := range strings.SplitSeq(out.buf.String(), "\x00") {
		if name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	buf  bytes.Buffer
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.buf.Len(); len(p) > room {
		b.over = true
		b.buf.Write(p[:room])
		return len(p), nil
	}
	return b.buf.Write(p)
}
