// Package cli is the command line of bothy: it parses arguments, calls the daemon through package client and prints the result.
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/blueprint"
	"github.com/bothy-env/bothy/internal/cli/brake"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/cost"
	"github.com/bothy-env/bothy/internal/cli/env"
	"github.com/bothy-env/bothy/internal/cli/event"
	"github.com/bothy-env/bothy/internal/cli/host"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/cli/orphan"
	"github.com/bothy-env/bothy/internal/cli/pool"
	"github.com/bothy-env/bothy/internal/cli/quota"
	"github.com/bothy-env/bothy/internal/cli/rate"
	"github.com/bothy-env/bothy/internal/cli/receipt"
	"github.com/bothy-env/bothy/internal/cli/spec"
	"github.com/bothy-env/bothy/internal/cli/system"
)

// Process holds what a command line uses of the process that it runs in.
type Process struct {
	Args    []string
	Getenv  func(string) string
	IO      *iostreams.IO
	Now     func() time.Time
	NewKey  func() string
	Version string
}

// Main runs one command line and returns the exit code.
func Main(p Process) int {
	f := &cmdutil.Factory{IO: p.IO.Guarded(), Getenv: p.Getenv, Now: p.Now, NewKey: p.NewKey, Version: p.Version}
	ctx, stop := withSignals(context.Background())
	defer stop()
	root := NewCmdRoot(f)
	root.SetArgs(p.Args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return cmdutil.ExitOK
	}
	if f.Output != "json" && wantsJSON(p.Args) {
		// Parsing failed before it reached the flag.
		f.Output = "json"
	}
	if _, silent := errors.AsType[cmdutil.Exit](err); !silent {
		f.ShowError(err)
	}
	return cmdutil.ExitCode(err)
}

// withSignals cancels the context with a cmdutil.Interrupted at the first INT or TERM. A second signal ends the process.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-caught:
			signal.Stop(caught)
			cancel(cmdutil.Interrupted{Signal: s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		cancel(nil)
	}
}

// wantsJSON reports whether a command line that could not be parsed asks for --output json.
func wantsJSON(args []string) bool {
	for i, a := range args {
		if a == "--" {
			return false
		}
		if a == "--output=json" || a == "-ojson" || a == "-o=json" {
			return true
		}
		if (a == "--output" || a == "-o") && i+1 < len(args) && strings.TrimSpace(args[i+1]) == "json" {
			return true
		}
	}
	return false
}

// NewCmdRoot makes `bothy` with all its commands.
func NewCmdRoot(f *cmdutil.Factory) *cobra.Command {
	root := cmdutil.Group("bothy", "Build and deploy environments on demand")
	root.Long = `bothy creates isolated build and deploy environments with Terraform and leases them to you. It shows their cost to the second.
When a lease ends, bothy deletes the environment and verifies that nothing is left.

Run "bothy up" in a repository to get an environment with your working tree in it.

Environment variables:
  BOTHY_HOST   Address of the daemon, like --host
  BOTHY_TOKEN  Token for an https address, like --token-file
  NO_COLOR     Disables colour and animated progress if not empty

` + cmdutil.ExitCodes
	root.Example = `  bothy spec init
  bothy up
  bothy exec web -- make test
  bothy down web`
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetIn(f.IO.In)
	root.SetOut(f.IO.Out)
	root.SetErr(f.IO.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cmdutil.Usagef("%s: %w", cmd.CommandPath(), err).WithHint("%s --help", cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&f.Output, "output", "o", "text", "Output `format`: text or json")
	flags.StringVar(&f.Host, "host", "", "Daemon `address`, unix:///path or https://host:port (default: BOTHY_HOST, then your own daemon's socket)")
	flags.StringVar(&f.TokenFile, "token-file", "", "Token `file` for an https address (default: BOTHY_TOKEN)")
	flags.StringVar(&f.CAFile, "ca-file", "", "PEM `file` of certificates to trust for an https address (default: system certificates)")
	flags.StringVar(&f.Tenant, "tenant", "", "Tenant `name` that environment names refer to, others need the platform role (default: your own)")
	flags.StringVar(&f.AsPlatform, "as-platform", "", "Use or delete environments of others with the platform role, with a `reason` for the record")
	cobra.CheckErr(root.RegisterFlagCompletionFunc("tenant", cmdutil.NoComplete))
	cobra.CheckErr(root.RegisterFlagCompletionFunc("as-platform", cmdutil.NoComplete))
	cobra.CheckErr(root.RegisterFlagCompletionFunc("output", cmdutil.CompleteWords("text", "json")))
	cobra.CheckErr(root.RegisterFlagCompletionFunc("host", cmdutil.NoComplete))
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if f.AsPlatform = strings.TrimSpace(f.AsPlatform); f.AsPlatform == "" && flags.Changed("as-platform") {
			return cmdutil.Usagef("--as-platform: a reason is required").WithHint(`--as-platform "incident 42"`)
		}
		return cmdutil.OneOf("output", f.Output, "text", "json")
	}

	const environments, platform, others = "environments", "platform", "others"
	root.AddGroup(&cobra.Group{ID: environments, Title: "Environments:"}, &cobra.Group{ID: platform, Title: "Platform:"}, &cobra.Group{ID: others, Title: "More:"})
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(environments,
		env.NewCmdUp(f, nil), env.NewCmdRun(f, nil), env.NewCmdLs(f, nil), env.NewCmdShow(f, nil), env.NewCmdExec(f, nil), env.NewCmdShell(f, nil),
		env.NewCmdCp(f, nil), env.NewCmdLogs(f, nil), env.NewCmdExtend(f, nil), env.NewCmdTouch(f, nil), env.NewCmdShare(f, nil), env.NewCmdDown(f, nil),
		env.NewCmdWhy(f, nil), event.NewCmdEvents(f, nil), cost.NewCmdCost(f, nil), receipt.NewCmdReceipt(f, nil))
	add(platform,
		pool.NewCmdPool(f), quota.NewCmdQuota(f), rate.NewCmdRate(f), host.NewCmdHost(f), orphan.NewCmdOrphans(f), brake.NewCmdBrake(f))
	add(others,
		spec.NewCmdSpec(f), blueprint.NewCmdBlueprint(f),
		system.NewCmdDoctor(f, nil), system.NewCmdCompletion(f, nil), system.NewCmdVersion(f, nil))
	root.SetHelpCommandGroupID(others)
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Run, c.RunE = nil, func(_ *cobra.Command, args []string) error { return help(root, args) }
		}
	}
	return root
}

// help shows the help of the command that args name. For an unknown name cobra would show the help of the root command.
func help(root *cobra.Command, args []string) error {
	at := root
	for _, name := range args {
		i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
		if i < 0 {
			return cmdutil.UnknownCommand(at, name)
		}
		at = at.Commands()[i]
	}
	at.InitDefaultHelpFlag() // makes --help one of the flags that are shown
	return at.Help()
}
