package cli_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bothy-env/bothy/internal/cli"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// run runs one command line without a daemon.
func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Main(cli.Process{
		Args: args, Version: "1.2.3", Now: time.Now,
		Getenv: func(string) string { return "" },
		NewKey: func() string { return "key" },
		IO:     &iostreams.IO{In: strings.NewReader(""), Out: &out, Err: &errs},
	})
	return code, out.String(), errs.String()
}

// each visits every command that a person can call.
func each(t *testing.T, visit func(t *testing.T, cmd *cobra.Command)) {
	t.Helper()
	root := cli.NewCmdRoot(&cmdutil.Factory{IO: &iostreams.IO{}, Getenv: func(string) string { return "" }})
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		t.Run(cmd.CommandPath(), func(t *testing.T) { visit(t, cmd) })
		for _, sub := range cmd.Commands() {
			if sub.Name() != "help" {
				walk(sub)
			}
		}
	}
	walk(root)
}

func TestEveryCommandIsDocumented(t *testing.T) {
	count := 0
	each(t, func(t *testing.T, cmd *cobra.Command) {
		count++
		if len(cmd.Short) > mostShort || !startsUpper(cmd.Short) || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("Short = %q, want an imperative of up to %d characters without a full stop", cmd.Short, mostShort)
		}
		for sentence := range strings.SplitSeq(strings.NewReplacer("\n", " ", ": ", ". ").Replace(cmd.Long), ". ") {
			if words := len(strings.Fields(sentence)); words > mostWords && cmd.Name() != "bothy" && cmd.Name() != "cp" {
				t.Errorf("Long has a sentence of %d words, want at most %d: %q", words, mostWords, sentence)
			}
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) && cmd.Name() != "bothy" {
			t.Errorf("Example = %q, want %q in it", cmd.Example, cmd.CommandPath())
		}
		code, help, _ := run(append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if code != 0 || !strings.Contains(help, "Examples:") {
			t.Errorf("--help gives code %d and %q, want examples in it", code, help)
		}
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { checkFlag(t, f, help) })
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { checkFlag(t, f, help) })
	})
	if count != 52 {
		t.Errorf("%d commands were looked at, want 52: was one added or lost?", count)
	}
}

// Limits of help texts, which people skim: characters of a Short, words of a sentence in a Long.
const (
	mostShort = 51
	mostWords = 25
)

func startsUpper(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsUpper(r)
}

func checkFlag(t *testing.T, f *pflag.Flag, help string) {
	t.Helper()
	if f.Name != "help" && (!startsUpper(strings.TrimLeft(f.Usage, "`")) || strings.Contains(f.Usage, ";") || strings.HasSuffix(f.Usage, ".")) {
		t.Errorf("--%s: %q, want a phrase with a capital, and without semicolon and full stop", f.Name, f.Usage)
	}
	if f.Usage == "" || !strings.Contains(help, "--"+f.Name) {
		t.Errorf("--%s is not documented: %q", f.Name, f.Usage)
	}
}

// An example in the help must at least be a command line that parses.
func TestExamplesParse(t *testing.T) {
	each(t, func(t *testing.T, cmd *cobra.Command) {
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			line, _, _ = strings.Cut(line, " > ")
			line, _, _ = strings.Cut(line, " < ")
			for part := range strings.SplitSeq(line, " | ") {
				words := fields(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(part), "source <("), ")"))
				if len(words) == 0 || words[0] != "bothy" {
					continue
				}
				target, rest, err := cmd.Root().Find(words[1:])
				if err != nil || target.HasSubCommands() {
					t.Errorf("%q: no such command: %v", part, err)
					continue
				}
				if err := target.ParseFlags(rest); err != nil {
					t.Errorf("%q: %v", part, err)
				} else if err := target.ValidateArgs(target.Flags().Args()); err != nil {
					t.Errorf("%q: %v", part, err)
				}
			}
		}
	})
}

// fields splits a line as a shell does, as far as examples need it.
func fields(line string) []string {
	var words []string
	for i, quoted := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, quoted)
		} else {
			words = append(words, strings.Fields(quoted)...)
		}
	}
	return words
}

func TestHelpTellsTheExitCodes(t *testing.T) {
	code, help, _ := run("--help")
	if code != 0 || !strings.Contains(help, cmdutil.ExitCodes) {
		t.Errorf("--help = %d, %q, want the exit codes in it", code, help)
	}
}

func TestHelpOfACommandIsItsOwn(t *testing.T) {
	for _, args := range []string{"", "up", "spec check", "spec", "ls"} {
		_, want, _ := run(append(strings.Fields(args), "--help")...)
		if code, help, stderr := run(append([]string{"help"}, strings.Fields(args)...)...); code != 0 || help != want || stderr != "" {
			t.Errorf("help %s = %d, %q, %q, want %q", args, code, help, stderr, want)
		}
	}
}

func TestUsageErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"shwo", "bothy: unknown command \"bothy shwo\"\nhint: bothy show\n"},
		{"xyz", "bothy: unknown command \"bothy xyz\"\nhint: bothy --help\n"},
		{"spec chek", "bothy: unknown command \"bothy spec chek\"\nhint: bothy spec check\n"},
		{"ls --al", "bothy: bothy ls: unknown flag: --al\nhint: bothy ls --help\n"},
		{"show a b", "bothy: bothy show: got \"a b\", want the name of one environment\nhint: bothy show --help\n"},
		{"show ", "bothy: bothy show: got an empty argument, want the name of one environment\nhint: bothy show --help\n"},
		{"events ", "bothy: bothy events: got an empty argument, want at most one environment\nhint: bothy events --help\n"},
		{"down a ", "bothy: bothy down: got an empty argument, want names of environments or --all\nhint: bothy ls\n"},
		{"exec  -- true", "bothy: bothy exec: want an environment name, --, and a command\nhint: bothy exec ENV -- make\n"},
		{"help shwo", "bothy: unknown command \"bothy shwo\"\nhint: bothy show\n"},
		{"help spec nosuch", "bothy: unknown command \"bothy spec nosuch\"\nhint: bothy spec --help\n"},
		{"help ls x", "bothy: unknown command \"bothy ls x\"\nhint: bothy ls --help\n"},
		{"ls --host ftp://x", "bothy: "},
		{"completion", "bothy: bothy completion: got nothing, want a shell: bash, zsh, fish or powershell\nhint: bothy completion --help\n"},
	} {
		code, stdout, stderr := run(strings.Split(c.args, " ")...)
		if code != cmdutil.ExitUsage || stdout != "" || !strings.HasPrefix(stderr, c.want) {
			t.Errorf("bothy %s: code %d, stdout %q, stderr %q, want 2, nothing, %q", c.args, code, stdout, stderr, c.want)
		}
	}
}
