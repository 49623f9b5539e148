package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/client"
)

// sourceHints are the hints for a directory that cannot be copied.
type sourceHints struct{ noFolder, noRights, tooMany string }

// upHints returns the hints of up for the directory dir.
func upHints(dir string) sourceHints {
	h := sourceHints{
		noFolder: "--source accepts a directory, or none", noRights: "make the files readable, or use --source none", tooMany: "use --source none, and copy the files in parts",
	}
	if source.Repository(dir) != "" {
		h.noRights = "make the files readable, exclude them with .gitignore, or use --source none"
		h.tooMany = "exclude files with .gitignore, or use --source none"
	}
	return h
}

// sourceFault adds code and hint to an error about the directory to copy.
func sourceFault(err error, hints sourceHints) error {
	if _, ok := errors.AsType[cmdutil.Interrupted](err); ok {
		return err
	}
	e := &cmdutil.Error{Code: wire.CodeInvalid, Sentence: err.Error(), Err: err}
	const allFiles = "bothy up --all-files    copies every file, including ignored files"
	if failed, ok := errors.AsType[*source.GitFailed](err); ok {
		e.Sentence, e.Hint, e.Next = failed.Error(), "repair the repository, or use:", []string{allFiles, "bothy up --source none"}
		if failed.Advice != "" {
			e.Hint = failed.Advice
		}
		return e
	}
	if none, ok := errors.AsType[*source.NoGit](err); ok {
		e.Sentence, e.Hint, e.Next = none.Error(), "install git, or use:", []string{allFiles, "bothy up --source none"}
		return e
	}
	if none, ok := errors.AsType[*source.NoHistory](err); ok {
		e.Sentence, e.Hint = none.Error(), "omit --git, or run bothy up in the root of the main working tree"
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

// upload streams the tree to the environment's workspace and notes the files that changed meanwhile.
func upload(ctx context.Context, c *client.Client, env wire.Environment, tree *source.Tree, progress render.Progress) (notes []string, err error) {
	progress.Phase("Copying source")
	var moving flux
	err = sendTar(ctx, c, env, env.Workspace, "", func(w io.Writer) error {
		return tree.WriteTar(ctx, w, "", source.Report{Bytes: func(done int64) { progress.Bytes(done, tree.Bytes) }, Changed: moving.sent})
	})
	if err != nil {
		return nil, err
	}
	return moving.notes(), nil
}

// releaseTime limits how long a failed up takes to delete its environment.
const releaseTime = 30 * time.Second

// uploadFailed deletes the environment, unless --keep is set, and reports the result. It keeps the environment if the user interrupted
// the copy, because the user decides next, and if another daemon must do the copy, because nothing is wrong with the environment.
func (opts *UpOptions) uploadFailed(ctx context.Context, c *client.Client, err error, env *wire.Environment, tree *source.Tree) error {
	again := fmt.Sprintf("%s    copies the source again%s", copyCommand(*env, tree), copyDiffers(tree))
	drop := fmt.Sprintf("bothy down %s    deletes the environment", env.Name)
	kept := fmt.Sprintf("%s is ready, with the source copied in part or not at all.", env.Name)
	if _, ok := errors.AsType[cmdutil.Interrupted](err); ok {
		return interruptedAs(err, "Interrupted the copy of the source. "+kept, again, drop)
	}
	p := cmdutil.ProblemOf(underWay(err))
	e := &cmdutil.Error{Code: p.Code, Sentence: "cannot copy source: " + p.Detail, Err: err}
	var next []string
	if p.Hint != "" {
		next = append(next, p.Hint)
	}
	if opts.Keep || env.DaemonAddress != "" {
		e.Sentence = sentences(e.Sentence, kept)
		next = append(next, again, drop)
	} else {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		released, failed := c.Release(ctx, client.ID(env.ID))
		if failed != nil {
			e.Sentence = sentences(e.Sentence, fmt.Sprintf("cannot delete environment %s: %v", env.Name, failed))
			next = append(next, again, drop)
		} else {
			*env = released
			e.Sentence = sentences(e.Sentence, fmt.Sprintf("bothy is deleting %s.", env.Name))
			next = append(next, "bothy up --keep    keeps the environment if the copy of the source fails")
		}
	}
	e.Hint, e.Next = next[0], next[1:]
	return e
}

// sentences appends a further sentence to an error.
func sentences(first, second string) string { return strings.TrimRight(first, ".") + ". " + second }

// copyCommand returns the command line that copies the content of the tree's directory.
func copyCommand(env wire.Environment, tree *source.Tree) string {
	return fmt.Sprintf("%s cp %s %s:", at(env), format.Word(tree.Dir+"/."), env.Name)
}

// copyDiffers notes the files that copyCommand copies and up does not.
func copyDiffers(tree *source.Tree) string {
	if !tree.Git {
		return ""
	}
	return " (including .git and ignored files)"
}

// described summarises the tree in one line.
func (opts *UpOptions) described(tree *source.Tree) string {
	text := fmt.Sprintf("%s, %s", format.Count(tree.Files, "file"), format.Bytes(tree.Bytes))
	switch {
	case opts.Git:
		return text + ", with .git"
	case tree.Git:
		return text + ", without .git (use --git to copy it)"
	}
	return text
}
