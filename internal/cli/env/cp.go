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
	// Exclude are patterns of what is left out.
	Exclude source.Exclude
}

// NewCmdCp makes `bothy cp`.
func NewCmdCp(f *cmdutil.Factory, runF func(context.Context, *CpOptions) error) *cobra.Command {
	opts := &CpOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "cp SRC DST",
		Short: "Copy files between here and an environment",
		Long: `Copy a file or folder between here and an environment. One side is ENV:PATH, where a PATH without a slash in
front is in the workspace; the other is a path here, or - for the standard input or output.

As with cp -r:
  - a file becomes DST, or goes into DST when that is a folder; a file that is there is replaced;
  - a folder becomes DST, or goes into DST when that is a folder; with /. at the end of SRC only what is in it goes there;
  - DST with a slash at its end must be a folder, or become one; the folder that DST is in must exist.
A folder that is copied to - comes as a tar; from - one file is made.
A PATH in ENV may hold *, ? and [...]. Quote it, so that your shell leaves it alone.
SRC may itself be a link: cp follows it. Links inside a folder are copied as links.

cp keeps times, rights, and the setgid and sticky bits of folders. It keeps the holes of sparse files (into an environment, if
the image has GNU tar); they count toward the limit of a copy. It drops owners, set-user-ID and set-group-ID bits of files and
extended attributes, and says of which files. A file that changes while cp reads it is copied and named. Zeros at the end replace
what such a file lost.

Files from an environment are untrusted. bothy writes inside the new folder only, and never through a link. It skips links
that point outside the new folder, entries behind a link, devices and pipes, lists them, and exits with an error. A link that comes
back by the name of the folder (self -> ../src in src) is made to lead there directly. With /. at the end of SRC the new folder is DST: its files may be replaced.
If a file inside cannot be read, bothy names it, says what was copied, and exits with an error.
cp to an environment reads all of SRC first: if a file cannot be read, or SRC is over the limit, nothing is sent.
A local path with a colon in it is written with ./ in front.`,
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
	cmd.Flags().StringVarP(&opts.User, "user", "u", "", "`user` inside who reads, or who is to own the files (default: the environment's first)")
	cmd.Flags().StringArrayVar((*[]string)(&opts.Exclude), "exclude", nil, "leave out files and folders by `pattern`, such as *.o or build/tmp; may be given again")
	return cmd
}

// completeCp offers names of environments with a colon, beside files; files alone once one side is in an environment, since
// the other one is here.
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

// parseRemote tells ENV:PATH from a local path: the colon comes before any slash, and something before it.
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
		return cmdutil.Usagef("cp: both sides are in environments, want one of them here").WithHint("bothy cp %s - | bothy cp - %s", opts.Src, opts.Dst)
	case !out && !in:
		return cmdutil.Usagef("cp: got %q and %q, want one of them as ENV:PATH", opts.Src, opts.Dst).WithHint("bothy cp FILE ENV:")
	case opts.Src == "" || opts.Dst == "":
		return cmdutil.Usagef("cp: a path is empty")
	case out && opts.Dst == "-" && len(opts.Exclude) > 0:
		return cmdutil.Usagef("cp: --exclude does not apply to what is copied to -").WithHint("bothy exec %s -- tar --exclude PATTERN -cf - FOLDER", src.env)
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
	return interruptedAs(underWay(err), "The copy was cut off; it may be there in part", "Run it again")
}

// inside is the absolute path of what a user wrote after the colon. contents says that /. stood at its end.
func inside(workspace, p string) (abs string, contents, slash bool) {
	contents = p == "." || strings.HasSuffix(p, "/.")
	slash = strings.HasSuffix(p, "/")
	if !path.IsAbs(p) {
		p = path.Join(workspace, p)
	}
	return path.Clean(p), contents, slash
}
