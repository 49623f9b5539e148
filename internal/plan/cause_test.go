package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// TestCausesAreValues: why a request waits is told in values. What a host's daemon said is a detail, whatever it says, and decides
// nothing: a host that is down and says the words of another cause is still down.
func TestCausesAreValues(t *testing.T) {
	down := host("h", 9, 0)
	down.Down = "it is not served by a running daemon"
	unserved := host("i", 9, 0)
	unserved.Worker = ""
	drained := host("k", 9, 0)
	drained.Drained = true
	full := host("l", 1, 0)
	ask := envs(env("a", fleet.Pending))
	for name, c := range map[string]struct {
		hosts       []fleet.Host
		more        []fleet.Environment
		unavailable map[string]string
		want        []plan.Cause
	}{
		"no host":            {want: []plan.Cause{{Kind: plan.CauseNoHost}}},
		"none served":        {hosts: []fleet.Host{unserved}, want: []plan.Cause{{Kind: plan.CauseNoneServed}}},
		"words of another":   {hosts: []fleet.Host{down}, want: []plan.Cause{{Kind: plan.CauseDown, Host: "h", Detail: "it is not served by a running daemon"}}},
		"and one not served": {hosts: []fleet.Host{down, unserved}, want: []plan.Cause{{Kind: plan.CauseDown, Host: "h", Detail: "it is not served by a running daemon"}, {Kind: plan.CauseUnserved, Host: "i"}}},
		"unavailable, in such words": {
			hosts: []fleet.Host{host("j", 9, 0)}, unavailable: map[string]string{"j": "Terraform is not served by a running daemon"},
			want: []plan.Cause{{Kind: plan.CauseUnavailable, Detail: "Terraform is not served by a running daemon"}},
		},
		"several for one reason": {
			hosts: []fleet.Host{host("j", 9, 0), host("m", 9, 0)}, unavailable: map[string]string{"j": "x", "m": "x"},
			want: []plan.Cause{{Kind: plan.CauseUnavailable, Detail: "x"}},
		},
		"full": {
			hosts: []fleet.Host{full}, more: envs(env("x", fleet.Leased, on("l"))), want: []plan.Cause{{Kind: plan.CauseFull}},
		},
		"the rest is full": {
			hosts: []fleet.Host{drained, full}, more: envs(env("x", fleet.Leased, on("l"))),
			want: []plan.Cause{{Kind: plan.CauseRestFull}, {Kind: plan.CauseDrained, Host: "k"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := plan.Snapshot{Environments: append(ask[:1:1], c.more...), Hosts: c.hosts, Concurrency: 9, Unavailable: c.unavailable}
			waiting := plan.Compute(s, now).Waiting
			if len(waiting) != 1 {
				t.Fatalf("%d wait, want 1", len(waiting))
			}
			if diff := cmp.Diff(c.want, waiting[0].Causes); diff != "" {
				t.Errorf("causes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEveryCauseHasAText: none is told by its word for machines, and each by a text of its own.
func TestEveryCauseHasAText(t *testing.T) {
	seen := map[string]plan.CauseKind{}
	for _, kind := range []plan.CauseKind{
		plan.CauseBusy, plan.CauseFull, plan.CauseRestFull, plan.CauseKept, plan.CauseDrained, plan.CauseDown, plan.CauseUnserved,
		plan.CauseUnavailable, plan.CauseNoHost, plan.CauseNoneServed, plan.CauseTooLarge,
	} {
		text := plan.Cause{Kind: kind, Host: "h", Detail: "it is out of order"}.Text()
		if other, twice := seen[text]; text == "" || text == string(kind) || twice {
			t.Errorf("%s is told as %q, as is %q", kind, text, other)
		}
		seen[text] = kind
	}
	if got := plan.Text([]plan.Cause{{Kind: plan.CauseFull}, {Kind: plan.CauseDrained, Host: "k"}}); got != "all hosts are full; host k is drained" {
		t.Errorf("two causes are told as %q", got)
	}
	if got := plan.Text(nil) + (plan.Cause{}).Text(); got != "" {
		t.Errorf("no cause is told as %q", got)
	}
}
