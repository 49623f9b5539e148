package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// TestUsageIsGivenWhereItIsAskedFor: what a leased environment uses comes with it when it is asked for, and what is not known is
// absent and named.
func TestUsageIsGivenWhereItIsAskedFor(t *testing.T) {
	d := newDouble()
	d.envs["otter"] = leased("otter")
	c := start(t, d).client()
	env, err := c.Get(limited(t), "otter")
	if err != nil || env.Usage != nil {
		t.Fatalf("unasked: %+v, %v", env.Usage, err)
	}
	env, err = c.GetUsed(limited(t), "otter")
	if err != nil {
		t.Fatal(err)
	}
	want := &wire.EnvironmentUsage{
		At: noon, CPUs: new(0.5), MemoryBytes: new(int64(200 << 20)), Processes: new(int64(14)), Unknown: []string{wire.UsageDisk},
	}
	if diff := cmp.Diff(want, env.Usage); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}
