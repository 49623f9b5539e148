package env

import (
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/client"
)

// The environment stands by then: "usage; nothing was done" would be wrong of whatever fails inside.
func TestACopyThatFailsInsideIsNoUsageError(t *testing.T) {
	inside := &client.Error{Code: wire.CodeInvalid, Sentence: "unpacking failed", Status: 422}
	kept := &UpOptions{Keep: true}
	if err := kept.uploadFailed(t.Context(), nil, inside, &wire.Environment{Name: "web"}, &source.Tree{Dir: "/src"}); cmdutil.ExitCode(err) != cmdutil.ExitFailed {
		t.Errorf("up: %v has exit code %d, want 1", err, cmdutil.ExitCode(err))
	}
	if err := underWay(inside); cmdutil.ExitCode(err) != cmdutil.ExitFailed || err.Error() != inside.Sentence {
		t.Errorf("cp: %v has exit code %d, want 1 and the same sentence", err, cmdutil.ExitCode(err))
	}
	request := &client.Error{Code: wire.CodeInvalid, Sentence: "wrong", Status: 422, Places: []wire.ProblemPlace{{Location: "query.path", Message: "too long"}}}
	if err := underWay(request); cmdutil.ExitCode(err) != cmdutil.ExitUsage {
		t.Errorf("a request that could not be taken: %v has exit code %d, want 2", err, cmdutil.ExitCode(err))
	}
}
