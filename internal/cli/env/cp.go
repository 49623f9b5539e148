package env

import (
	"context"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/source"
)

// CpOptions are the arguments of cp.
type CpOptions struct {
	Factory  *cmdutil.Factory
	Src, Dst string
	User     string
	// Exclude are patterns of files to skip.
	Exclude source.Exclude
}

// NewCmdCp makes `bothy cp`.
func NewCmdCp(f *cmdutil.Factory, runF func(context.Context, *CpOptions) error) *cobra.Command {
	opts := &CpOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "cp SRC DST",
		Short: "Copy files to or from an environment",
		Long: `Copies a file or directory to or from an environment. One side is ENV:PATH, where a relative PATH starts in the workspace. The
other side is a local path, or - for stdin or stdout.

Works like cp -r:
  - A file becomes DST, or goes into DST if DST is a directory. It replaces an existing file.
  - A directory becomes DST, or goes into DST if DST is a directory. SRC/. copies only the content of SRC.
  - DST with a trailing slash must be a directory or become one. The parent of DST must exist.
  - A directory copied to - is a tar stream. A copy from - is one file.
  - PATH in ENV may contain *, ? and [...]. Quote it to protect it from your shell.
  - cp follows SRC if SRC is a link, and copies links inside a directory as links.
  - A local path that contains a colon must start with ./

cp keeps times, permissions, and the setgid and sticky bits of directories. It keeps the holes of sparse files (into an
environment only if the image has GNU tar). Holes count toward the limit of a copy. It drops owners, and drops set-user-ID bits,
set-group-ID bits and extended attributes of files and lists those files. It lists files that change during the copy, and pads a
file that shrinks with zeros.

Files from an environment are untrusted. bothy never writes outside DST. It skips links that point outside DST, devices and
pipes, lists them, and exits with an error. It also skips links that leave the copied directory within DST, and entries below a
link. Links that leave the directory and return by its name (self -> ../src in src) become direct links. With SRC/. the copy may
replace files in DST.

If cp cannot read a file in the environment, it lists the file and what it copied, and exits with an error. Before a copy to an
environment, cp reads all of SRC. If a file is unreadable or SRC exceeds the limit, cp sends nothing.`,
		Example: `  bothy cp web:out/app.deb .
  bothy cp ./src web:
  bothy cp ./src/. web:/workspace/src
  bothy cp --exclude node_modules --exclude '*.o' . web:
  bothy cp 'web:../*.deb' .
  bothy cp web:/var/log/dpkg.log - | tail
  echo hello | bothy cp - web:greeting.txt`,
		Args:              cmdutil.Args(2, 2, "a source and a destination, one of them ENV:PATH"),
		ValidArgsFunction: completeCp(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Src, opts.Dst = args[0], args[1]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return cpRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVarP(&opts.User, "user", "u", "", "Read files as `user`, or make this user their owner (default: the first user of the environment)")
	cmd.Flags().StringArrayVar((*[]string)(&opts.Exclude), "exclude", nil, "Skip files and directories that match `pattern`, for example *.o or build/tmp (repeatable)")
	return cmd
}

// completeCp completes environment names with a colon, and files. Once one side is in an environment it completes only files, because
// the other side is local.
func completeCp(f *cmdutil.Factory) cmdutil.Complete {
	names := f.CompleteEnvironments(2, false)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= 2 || strings.ContainsAny(toComplete, "/.:") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		if len(args) == 1 {
			if _, remote := parseRemote(args[0]); remote {
				return nil, cobra.ShellCompDirectiveDefault
			}
		}
		found, _ := names(cmd, nil, toComplete)
		for i, name := range found {
			plain, _, _ := strings.Cut(name, "\t")
			found[i] = plain + ":"
		}
		return found, cobra.ShellCompDirectiveNoSpace
	}
}

// remote is ENV:PATH.
type remote struct{ env, path string }

// parseRemote recognises ENV:PATH: it has a non-empty name before the first colon, and no slash before that.
func parseRemote(s string) (remote, bool) {
	env, p, found := strings.Cut(s, ":")
	if !found || env == "" || strings.Contains(env, "/") || strings.HasPrefix(env, ".") {
		return remote{}, false
	}
	return remote{env, p}, true
}

func cpRun(ctx context.Context, opts *CpOptions) error {
	src, out := parseRemote(opts.Src)
	dst, in := parseRemote(opts.Dst)
	switch {
	case out && in:
		return cmdutil.Usagef("cp: cannot copy from one environment to another").WithHint("bothy cp %s - | bothy cp - %s", opts.Src, opts.Dst)
	case !out && !in:
		return cmdutil.Usagef("cp: got %q and %q, want one of the form ENV:PATH", opts.Src, opts.Dst).WithHint("bothy cp FILE ENV:")
	case opts.Src == "" || opts.Dst == "":
		return cmdutil.Usagef("cp: got an empty path")
	case out && opts.Dst == "-" && len(opts.Exclude) > 0:
		return cmdutil.Usagef("cp: --exclude cannot be used for a copy to stdout").WithHint("bothy exec %s -- tar --exclude PATTERN -cf - DIR", src.env)
	}
	if err := opts.Exclude.Check(); err != nil {
		return cmdutil.Usagef("--exclude: %w", err)
	}
	c, err := opts.Factory.Client()
	if err != nil {
		return err
	}
	x := &copier{opts: opts, client: c}
	if out {
		err = x.fromEnvironment(ctx, src)
	} else {
		err = x.toEnvironment(ctx, dst)
	}
	return interruptedAs(underWay(err), "Interrupted the copy. The destination may be incomplete.", "run bothy cp again")
}

// inside returns the absolute path for the text after the colon. contents reports a trailing /., slash a trailing slash.
func inside(workspace, p string) (abs string, contents, slash bool) {
	contents = p == "." || strings.HasSuffix(p, "/.")
	slash = strings.HasSuffix(p, "/")
	if !path.IsAbs(p) {
		p = path.Join(workspace, p)
	}
	return path.Clean(p), contents, slash
}
