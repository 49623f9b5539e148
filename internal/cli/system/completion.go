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
		Short: "Print a script that completes commands, flags and names in your shell",
		Long: `Print a script that completes commands, flags, and names of environments and blueprints, for bash, zsh,
fish or powershell. bash needs its bash-completion package. A script is text: --output json is refused.`,
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
		return cmdutil.Usagef("bothy completion: got --output json, and a script is text").WithHint("%s %s", cmd.CommandPath(), opts.Shell)
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
		return cmdutil.Usagef("there is no completion for %q, want bash, zsh, fish or powershell", opts.Shell)
	}
	if err != nil {
		return fmt.Errorf("write completion: %w", err)
	}
	return nil
}
