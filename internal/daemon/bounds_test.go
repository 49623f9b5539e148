package daemon_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// What a request says is kept and listed for ever: the engine checks it whatever the door let through, and repeats little of it.
func TestWhatIsKeptHasABound(t *testing.T) {
	b := setup(t)
	long := strings.Repeat("x", 201)
	for name, change := range map[string]func(*service.Request){
		"project":                   func(r *service.Request) { r.Project = long },
		"pull request":              func(r *service.Request) { r.PullRequest = long },
		"project on two lines":      func(r *service.Request) { r.Project = "a\nb" },
		"project with an escape":    func(r *service.Request) { r.Project = "a\x1b[2J" },
		"project turned around":     func(r *service.Request) { r.Project = "a\u202eb" },
		"project that is no text":   func(r *service.Request) { r.Project = "a\xff" },
		"pull request, a C1 letter": func(r *service.Request) { r.PullRequest = "a\u009bb" },
		"key":                       func(r *service.Request) { r.IdempotencyKey = long },
		"size":                      func(r *service.Request) { r.Size = strings.Repeat("\x01", 170_000) },
		"name":                      func(r *service.Request) { r.Name = strings.Repeat("x", 100_000) },
		"variable":                  func(r *service.Request) { r.Vars = map[string]string{"A B=ZQCANARY" + long: "1"} },
		"secret":                    func(r *service.Request) { r.Secrets = map[string][]byte{"-a=ZQCANARY" + long: nil} },
		"inputs": func(r *service.Request) {
			r.Inputs = map[string]any{}
			for i := range 500 {
				r.Inputs[fmt.Sprint("in", i)] = long
			}
		},
	} {
		req := service.Request{Who: ann}
		change(&req)
		_, err := b.engine.Acquire(t.Context(), req)
		var e *fleet.Error
		if !errors.As(err, &e) || e.Code != fleet.CodeInvalid || len(e.Sentence) > 4<<10 || strings.Contains(e.Sentence, "ZQCANARY") {
			t.Errorf("%s: %.300v", name, err)
		}
	}
	for _, fine := range []string{"shop", "acme/shop#17", "Überraschung, zweiter Teil", strings.Repeat("x", 200)} {
		if env := b.acquire(func(r *service.Request) { r.Project, r.PullRequest = fine, fine }); env.Project != fine {
			t.Errorf("%q is kept as %q", fine, env.Project)
		}
	}
	if _, err := b.engine.Orphans.Purge(t.Context(), platform, make([]string, 1001)); fleet.CodeOf(err) != fleet.CodeInvalid {
		t.Errorf("1001 orphans: %v", err)
	}
	if _, err := b.engine.Quotas.Set(t.Context(), platform, fleet.Quota{
		Scope: fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "acme"}, Limits: fleet.Limits{Sizes: make([]string, 201)},
	}); fleet.CodeOf(err) != fleet.CodeInvalid {
		t.Errorf("201 sizes: %v", err)
	}
}
