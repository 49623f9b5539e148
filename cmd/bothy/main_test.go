package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/clitest"
)

// asMain makes this test binary the real command.
const asMain = "BOTHY_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"bothy": main})
}

// Each script has a daemon of its own; the command daemon says what it does.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "internal", "cli", "testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			root := filepath.Join(e.WorkDir, "envs")
			if err := os.Mkdir(root, 0o755); err != nil {
				return err
			}
			server, err := clitest.Start(root)
			if err != nil {
				return err
			}
			e.Defer(server.Close)
			e.Values[serverKey{}] = server
			e.Vars = append(e.Vars, "BOTHY_HOST=unix://"+server.Socket, "SOCKET="+server.Socket, "ENVS="+root, "TZ=UTC",
				"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "git" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := exec.LookPath("git")
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"daemon": daemon, "await": await},
	})
}

type serverKey struct{}

// daemon VERB ARG... tells the script's daemon what to do.
func daemon(ts *testscript.TestScript, neg bool, args []string) {
	server := ts.Value(serverKey{}).(*clitest.Server)
	if neg || len(args) == 0 {
		ts.Fatalf("daemon: want a verb")
	}
	switch verb, rest := args[0], args[1:]; {
	case verb == "add" && len(rest) == 2:
		ts.Check(server.Add(rest[0], rest[1]))
	case verb == "give" && len(rest) == 2:
		ts.Check(server.Give(rest[0], rest[1]))
	case verb == "because" && len(rest) == 1:
		if got := server.Because(); got != rest[0] {
			ts.Fatalf("daemon because: the last request said %q, want %q", got, rest[0])
		}
	case verb == "fate" && len(rest) == 1:
		server.Fate(rest[0])
	case verb == "finish" && len(rest) == 1:
		ts.Check(server.Finish(rest[0]))
	case verb == "refuse" && len(rest) == 4:
		status := 0
		if _, err := fmt.Sscan(rest[0], &status); err != nil {
			ts.Fatalf("daemon refuse: %v", err)
		}
		server.Refuse(wire.Problem{Title: "Refused", Status: status, Code: rest[1], Detail: rest[2], Hint: rest[3]})
	case verb == "refuse_release" && len(rest) == 1:
		server.RefuseRelease(wire.Problem{Title: "Refused", Status: 503, Code: wire.CodeUnavailable, Detail: rest[0]})
	case verb == "check" && len(rest) == 3:
		server.Check(wire.Check{Name: rest[0], Status: rest[1], Message: strings.ReplaceAll(rest[2], `\n`, "\n"), Hint: "look"})
	case verb == "hold" && len(rest) == 2:
		server.HoldPool(rest[0], rest[1])
	case verb == "stuck" && len(rest) == 3:
		server.StickPool(rest[0], rest[1], rest[2])
	case verb == "cut" && len(rest) == 0:
		server.CutNext()
	case verb == "tear" && len(rest) == 2:
		server.TearCopy(wire.Problem{Title: "Torn", Code: rest[0], Detail: rest[1]})
	case verb == "note" && len(rest) == 2:
		server.NoteCopy(rest[0], rest[1])
	case verb == "limit" && len(rest) == 1:
		bytes, err := strconv.ParseInt(rest[0], 10, 64)
		ts.Check(err)
		server.LimitCopies(bytes)
	case verb == "noshell" && len(rest) == 0:
		server.NoShell()
	case verb == "stop" && len(rest) == 0:
		server.Close()
	default:
		ts.Fatalf("daemon: got %q", strings.Join(args, " "))
	}
}
