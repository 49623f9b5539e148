package env_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/env"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

var ignoreFactory = cmpopts.IgnoreTypes(&cmdutil.Factory{})

// parse gives what a command line makes of a command's options.
func parse[T any](t *testing.T, make func(*cmdutil.Factory, func(context.Context, *T) error) *cobra.Command, args ...string) (T, error) {
	t.Helper()
	var got T
	ran := errors.New("ran")
	cmd := make(&cmdutil.Factory{IO: &iostreams.IO{}}, func(_ context.Context, opts *T) error {
		got = *opts
		return ran
	})
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	if err := cmd.ExecuteContext(t.Context()); !errors.Is(err, ran) {
		return got, err
	}
	return got, nil
}

func TestUpFlags(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want env.UpOptions
	}{
		{"none", nil, env.UpOptions{MaxSource: "512MiB", Wait: true}},
		{"all", []string{"-b", "go@2", "-s", "large", "-n", "web", "--ttl", "2d", "-p", "a=1", "--param", "b=x=y", "--source", "none", "--max-source", "1GiB"},
			env.UpOptions{Blueprint: "go@2", Size: "large", Name: "web", TTL: "2d", Params: []string{"a=1", "b=x=y"}, Source: "none", MaxSource: "1GiB", Wait: true}},
		{"for whom, and how long it may wait", []string{"--idle", "15m", "--project", "shop", "--pull-request", "17", "--team", "core", "--queue-timeout", "1m", "--fresh", "--dry-run",
			"-e", "A=1", "--env", "B=x,y=z", "--secret", "a=f", "--secret", "b=-"},
			env.UpOptions{Idle: "15m", Project: "shop", PullRequest: "17", Team: "core", QueueTimeout: "1m", Fresh: true, DryRun: true,
				Env: []string{"A=1", "B=x,y=z"}, Secrets: []string{"a=f", "b=-"}, MaxSource: "512MiB", Wait: true}},
		{"no queue", []string{"--no-queue"}, env.UpOptions{NoQueue: true, MaxSource: "512MiB", Wait: true}},
		{"detach", []string{"-d"}, env.UpOptions{MaxSource: "512MiB", Wait: true, Detach: true}},
		{"no wait", []string{"--wait=false"}, env.UpOptions{MaxSource: "512MiB", Detach: true}},
	} {
		got, err := parse(t, env.NewCmdUp, c.args...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got, ignoreFactory); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestExecArguments(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want env.ExecOptions
	}{
		{"plain", []string{"web", "--", "make", "-j2"}, env.ExecOptions{Name: "web", Command: []string{"make", "-j2"}}},
		{"flags after the name", []string{"web", "-u", "root", "--", "id"}, env.ExecOptions{Name: "web", Command: []string{"id"}, User: "root"}},
		{"flags before it", []string{"-t", "-w", "/", "-e", "A=1", "web", "--", "id"}, env.ExecOptions{Name: "web", Command: []string{"id"}, TTY: true, Dir: "/", Env: []string{"A=1"}}},
		{"no --", []string{"web", "id"}, env.ExecOptions{Name: "web", Command: []string{"id"}}},
		{"interactive", []string{"-i", "web", "--", "sh"}, env.ExecOptions{Name: "web", Command: []string{"sh"}, Interactive: new(true)}},
		{"not interactive", []string{"--interactive=false", "web", "--", "sh"}, env.ExecOptions{Name: "web", Command: []string{"sh"}, Interactive: new(false)}},
		{"detached", []string{"-d", "web", "--", "make"}, env.ExecOptions{Name: "web", Command: []string{"make"}, Detach: true}},
		{"-- inside", []string{"web", "--", "sh", "--", "x"}, env.ExecOptions{Name: "web", Command: []string{"sh", "--", "x"}}},
	} {
		got, err := parse(t, env.NewCmdExec, c.args...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got, ignoreFactory); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	for _, args := range [][]string{{}, {"web"}, {"web", "--"}, {"--", "web", "id"}, {"web", "x", "--", "id"}} {
		if got, err := parse(t, env.NewCmdExec, args...); cmdutil.ExitCode(err) != cmdutil.ExitUsage {
			t.Errorf("exec %q = %+v, %v, want a usage error", args, got, err)
		}
	}
}

func TestDownArguments(t *testing.T) {
	got, err := parse(t, env.NewCmdDown, "a", "b", "-d")
	if diff := cmp.Diff(env.DownOptions{Names: []string{"a", "b"}, Wait: true, Detach: true}, got, ignoreFactory); diff != "" || err != nil {
		t.Errorf("down: %v (-want +got):\n%s", err, diff)
	}
	for _, args := range [][]string{{}, {"--all", "a"}, {"a", "--wait", "--detach"}} {
		if _, err := parse(t, env.NewCmdDown, args...); cmdutil.ExitCode(err) != cmdutil.ExitUsage {
			t.Errorf("down %q: %v, want a usage error", args, err)
		}
	}
}
