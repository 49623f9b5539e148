package system

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

// CompletionOptions are the arguments of completion.
type CompletionOptions struct {
	Factory *cmdutil.Factory
	Shell   string
}

// NewCmdCompletion makes `bothy completion`.
func NewCmdCompletion(f *cmdutil.Factory, runF func(*cobra.Command, *CompletionOptions) error) *cobra.Command {
	opts := &CompletionOptions{Factory: f}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a shell completion script",
		Long: `Prints a script for bash, zsh, fish or powershell that completes commands, flags, and names of environments and blueprints.
bash requires the package bash-completion. The command does not support --output json.`,
		Example: `  source <(bothy completion bash)
  bothy completion zsh > "${fpath[1]}/_bothy"
  bothy completion fish > ~/.config/fish/completions/bothy.fish`,
		Args:              cmdutil.Args(1, 1, "a shell: bash, zsh, fish or powershell"),
		ValidArgsFunction: cmdutil.CompleteWords(shells...),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Shell = args[0]
			if runF != nil {
				return runF(cmd, opts)
			}
			return completionRun(cmd, opts)
		},
	}
}

func completionRun(cmd *cobra.Command, opts *CompletionOptions) error {
	if opts.Factory.JSON() {
		return cmdutil.Usagef("bothy completion: --output json is not supported").WithHint("%s %s", cmd.CommandPath(), opts.Shell)
	}
	root, out := cmd.Root(), opts.Factory.IO.Out
	var err error
	switch opts.Shell {
	case "bash":
		err = root.GenBashCompletionV2(out, true)
	case "zsh":
		err = root.GenZshCompletion(out)
	case "fish":
		err = root.GenFishCompletion(out, true)
	case "powershell":
		err = root.GenPowerShellCompletionWithDesc(out)
	default:
		return cmdutil.Usagef("unknown shell %q, want bash, zsh, fish or powershell", opts.Shell)
	}
	if err != nil {
		return fmt.Errorf("cannot write completion script: %w", err)
	}
	return nil
}
