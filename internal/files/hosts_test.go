package files_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
)

func TestParseHosts(t *testing.T) {
	got, err := files.ParseHosts("hosts.yaml", []byte(`hosts:
  - name: rack-1
    endpoint: unix:///var/run/docker.sock
    environments: 40
    cpus: 2.5
    memory: 64GiB
    labels:
      zone: a
  - name: rack-2
    endpoint: tcp://127.0.0.1:2375
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []files.Host{
		{
			Name: "rack-1", Endpoint: "unix:///var/run/docker.sock", Labels: map[string]string{"zone": "a"},
			Capacity: fleet.Capacity{Environments: 40, MilliCPUs: 2500, MemoryMiB: 64 << 10},
		},
		{Name: "rack-2", Endpoint: "tcp://127.0.0.1:2375"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWrongHosts(t *testing.T) {
	const good = "  - name: a\n    endpoint: unix:///s\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "hosts.yaml:1:1"},
		{"no hosts", "hosts: []\n", "hosts.yaml:1:8: hosts: got an empty list"},
		{"not a list", "hosts: 3\n", "hosts.yaml:1:8"},
		{"unknown key", "hosts:\n" + good + "    cpu: 3\n", `hosts.yaml:4:5: hosts[0].cpu: got an unknown key, want "cpus"`},
		{"twice", "hosts:\n" + good + good, "a second host called a"},
		{"no endpoint", "hosts:\n  - name: a\n", "endpoint: got nothing"},
		{"a name with a slash", "hosts:\n  - name: a/b\n    endpoint: unix:///s\n", "hosts.yaml:2:11"},
		{"an engine on the open network", "hosts:\n  - name: a\n    endpoint: tcp://192.0.2.1:2375\n", "gives root to everyone on the network"},
		{"negative count", "hosts:\n" + good + "    environments: -1\n", "hosts.yaml:4:19"},
		{"cpus that are no number", "hosts:\n" + good + "    cpus: .nan\n", "hosts.yaml:4:11"},
		{"endless cpus", "hosts:\n" + good + "    cpus: 1e400\n", "hosts.yaml:4:11"},
		{"memory without a unit", "hosts:\n" + good + "    memory: 64\n", "hosts.yaml:4:13"},
		{"memory of a kind", "hosts:\n" + good + "    memory: 64GB\n", "512MiB or 64GiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := files.ParseHosts("hosts.yaml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
