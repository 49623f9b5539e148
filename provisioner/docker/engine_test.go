package docker_test

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

var (
	testRun   = dockertest.TestRun
	testKey   = dockertest.Key
	noSandbox = dockertest.NoSandbox

	testImage = dockertest.Image
	wantClass = dockertest.WantClass
	wantEqual = dockertest.WantEqual
	until     = dockertest.Until
	randomHex = dockertest.RandomHex
)

// engine is what a test that needs Docker works with: a Runtime of an installation of its own.
type engine struct {
	*dockertest.Engine
	t        testing.TB
	api      *client.Client
	instance string
}

// newEngine skips the test under -short.
func newEngine(t testing.TB, change ...func(*docker.Config)) *engine {
	t.Helper()
	e := dockertest.New(t, change...)
	return &engine{e, t, e.API, e.Instance}
}

func (e *engine) owner() provisioner.Owner { return e.Owner() }

func (e *engine) labels(o provisioner.Owner) map[string]string { return e.Labels(o) }

func (e *engine) sandbox(change ...func(*container.Config, *container.HostConfig)) string {
	e.t.Helper()
	return e.Sandbox(change...)
}

func (e *engine) run(id, script string) (stdout, stderr string, code int) {
	e.t.Helper()
	return e.Run(id, script)
}
