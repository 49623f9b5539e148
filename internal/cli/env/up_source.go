package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/client"
)

// sourceHints are the next things to do when a folder cannot be copied.
type sourceHints struct{ noFolder, noRights, tooMany string }

// upHints are those of up for the folder dir.
func upHints(dir string) sourceHints {
	h := sourceHints{
		noFolder: "--source takes a folder, or none", noRights: "make them readable, or take --source none", tooMany: "take --source none, and copy it in parts",
	}
	if source.Repository(dir) != "" {
		h.noRights = "make them readable, let .gitignore leave them out, or take --source none"
		h.tooMany = "let .gitignore leave files out, or take --source none"
	}
	return h
}

// sourceFault says what is wrong with a folder that is to be copied.
func sourceFault(err error, hints sourceHints) error {
	if _, ok := errors.AsType[cmdutil.Interrupted](err); ok {
		return err
	}
	e := &cmdutil.Error{Code: wire.CodeInvalid, Sentence: err.Error(), Err: err}
	const allFiles = "bothy up --all-files    copies every file, also those that git ignores"
	if failed, ok := errors.AsType[*source.GitFailed](err); ok {
		e.Sentence, e.Hint, e.Next = failed.Error(), "repair the repository, or choose:", []string{allFiles, "bothy up --source none"}
		if failed.Advice != "" {
			e.Hint = failed.Advice
		}
		return e
	}
	if none, ok := errors.AsType[*source.NoGit](err); ok {
		e.Sentence, e.Hint, e.Next = none.Error(), "install git, or choose:", []string{allFiles, "bothy up --source none"}
		return e
	}
	if none, ok := errors.AsType[*source.NoHistory](err); ok {
		e.Sentence, e.Hint = none.Error(), "leave --git out, or run bothy up in the root of the main working tree"
		return e
	}
	if many, ok := errors.AsType[*source.TooMany](err); ok {
		e.Code, e.Sentence, e.Hint = wire.CodeTooLarge, many.Error(), hints.tooMany
		return e
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		e.Hint = hints.noFolder
	case errors.Is(err, fs.ErrPermission):
		e.Hint = hints.noRights
	}
	return e
}

// upload streams the tree to the environment's workspace, and says what changed meanwhile.
func upload(ctx context.Context, c *client.Client, env wire.Environment, tree *source.Tree, progress render.Progress) (notes []string, err error) {
	progress.Phase("copying source")
	var moving flux
	err = sendTar(ctx, c, env, env.Workspace, "", func(w io.Writer) error {
		return tree.WriteTar(ctx, w, "", source.Report{Bytes: func(done int64) { progress.Bytes(done, tree.Bytes) }, Changed: moving.sent})
	})
	if err != nil {
		return nil, err
	}
	return moving.notes(), nil
}

// releaseTime bounds how long an up that failed takes to give its environment back.
const releaseTime = 30 * time.Second

// uploadFailed gives the environment back, unless it is to be kept, and says what became of it. An interrupted copy leaves it: whoever
// interrupts decides next. So does a copy that another daemon has to be asked for: the environment is well.
func (opts *UpOptions) uploadFailed(ctx context.Context, c *client.Client, err error, env *wire.Environment, tree *source.Tree) error {
	again := fmt.Sprintf("%s is ready, with a part of the source or none; to copy it: %s%s", env.Name, copyCommand(*env, tree), copyDiffers(tree))
	drop := "to drop it: bothy down " + env.Name
	if _, ok := errors.AsType[cmdutil.Interrupted](err); ok {
		return interruptedAs(err, "The copy of the source was cut off; a file may be there in part", again, drop)
	}
	p := cmdutil.ProblemOf(underWay(err))
	e := &cmdutil.Error{Code: p.Code, Sentence: "copy source: " + p.Detail, Err: err}
	var next []string
	if p.Hint != "" {
		next = append(next, p.Hint)
	}
	if opts.Keep || env.DaemonAddress != "" {
		next = append(next, again, drop)
	} else {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		released, failed := c.Release(ctx, client.ID(env.ID))
		if failed != nil {
			next = append(next, again, fmt.Sprintf("%s could not be released (%v); to drop it: bothy down %s", env.Name, failed, env.Name))
		} else {
			*env = released
			e.Sentence += fmt.Sprintf("; %s was released", env.Name)
			next = append(next, "bothy up --keep    keeps the environment when the source cannot be copied")
		}
	}
	e.Hint, e.Next = next[0], next[1:]
	return e
}

// copyCommand is the command line that copies what is in the tree's folder.
func copyCommand(env wire.Environment, tree *source.Tree) string {
	return fmt.Sprintf("%s cp %s %s:", at(env), format.Word(tree.Dir+"/."), env.Name)
}

// copyDiffers says what that copies and up does not.
func copyDiffers(tree *source.Tree) string {
	if !tree.Git {
		return ""
	}
	return " (with .git and what git ignores, which up leaves out)"
}

// described is the tree in a line.
func (opts *UpOptions) described(tree *source.Tree) string {
	text := fmt.Sprintf("%s, %s", format.Count(tree.Files, "file"), format.Bytes(tree.Bytes))
	switch {
	case opts.Git:
		return text + ", with .git"
	case tree.Git:
		return text + ", without .git (--git copies it)"
	}
	return text
}
