package usage_test

import (
	"context"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
	"github.com/bothy-env/bothy/provisioner/docker/usage"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// TestUsageInTime: a size that the engine does not give in time is not known, the rest is; it is there for the next who asks.
func TestUsageInTime(t *testing.T) {
	e := dockertest.New(t)
	id := e.Sandbox()
	e.Run(id, "true") // what is asked once is known from here on
	release := e.Surveyor.(*usage.Meter).HoldSizes()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	used, err := e.Usage(ctx, id)
	release()
	if err != nil || used.Disk != -1 || used.Pids < 1 {
		t.Errorf("in time: %+v, %v; want all but the size", used, err)
	}
	dockertest.Until(t, "a size", func() bool {
		used, err = e.Usage(t.Context(), id)
		return err != nil || used.Disk >= 0
	})
	if err != nil {
		t.Error(err)
	}
}
