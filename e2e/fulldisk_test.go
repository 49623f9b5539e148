package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestStartOnAFullDisk: the disk fills while no daemon runs. The next one starts on what was kept back, says what is amiss, ends a lease
// that is over and deletes what it is asked to, makes nothing new, and goes on by itself when there is room.
func TestStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			disk := newSmallDisk(t, "32m")
			d, world := startBesideItsDisk(t, disk)
			d.bothy("up", "--source", "none", "--name", "other").want(t, 0)
			d.bothy("up", "--source", "none", "--name", "over", "--ttl", "15s").want(t, 0)
			over, err := d.get("over")
			if err != nil {
				t.Fatal(err)
			}
			if how == "stopped" {
				d.terminate()
			} else {
				d.kill()
			}
			disk.fill()
			d.launch()
			d.eventually("doctor tells of the disk", func() bool { return d.tells("disk", "failed") })
			if !strings.Contains(d.log.String(), "the disk is full") {
				t.Errorf("the log does not tell:\n%s", d.log)
			}
			d.bothy("up", "--source", "none", "--name", "new").want(t, 1, "the disk of the state directory", "MiB there")
			if env := d.untilState(over.ID, "destroyed"); env.Failure != nil {
				t.Errorf("the lease that was over: %+v", env.Failure)
			}
			d.bothy("down", "other").want(t, 0)
			if n := sandboxesIn(t, world); n > 0 {
				t.Errorf("%d sandboxes are left", n)
			}
			disk.free()
			d.eventually("there is room again", func() bool {
				return d.bothy("up", "--source", "none", "--name", "after").code == 0
			})
			d.eventually("doctor is content", func() bool { return !d.tells("disk", "failed") })
			d.bothy("down", "after").want(t, 0)
		})
	}
}

// TestLeasesEndThoughNothingCanBeRecorded: the disk is filled again after bothyd has given up what it kept back. Sandboxes go at the
// end of their leases all the same, and the record follows.
func TestLeasesEndThoughNothingCanBeRecorded(t *testing.T) {
	t.Parallel()
	disk := newSmallDisk(t, "32m")
	d, world := startBesideItsDisk(t, disk)
	d.bothy("up", "--source", "none", "--name", "over", "--ttl", "25s").want(t, 0)
	env := d.untilState("over", "leased")
	d.eventually("its sandbox is gone", func() bool {
		disk.fill()
		return sandboxesIn(t, world) == 0
	})
	if late := time.Since(*env.Lease.End); late < -time.Second {
		t.Errorf("it went %s before its end", -late)
	}
	disk.free()
	if env = d.untilState(env.ID, "destroyed"); env.Failure != nil {
		t.Errorf("it failed: %+v", env.Failure)
	}
}

// tells reports whether doctor has a check of that name and status.
func (d *daemon) tells(name, status string) bool {
	d.t.Helper()
	health, err := d.client.Doctor(d.t.Context())
	if err != nil {
		d.t.Fatalf("doctor: %v", err)
	}
	return slices.ContainsFunc(health.Checks, func(c wire.Check) bool { return c.Name == name && c.Status == status })
}

func sandboxesIn(t *testing.T, world *fake.World) (n int) {
	t.Helper()
	all, err := world.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Kind == "container" && f.Labels[provisioner.LabelEnvironment] != "" {
			n++
		}
	}
	return n
}

// startBesideItsDisk starts a daemon whose state directory is on a small disk, and what it provisions is not.
func startBesideItsDisk(t *testing.T, disk *smallDisk) (*daemon, *fake.World) {
	t.Helper()
	beside := t.TempDir()
	hosts, folder := filepath.Join(beside, "hosts.yaml"), filepath.Join(beside, "world")
	if err := os.WriteFile(hosts, fmt.Appendf(nil, "hosts:\n  - name: local\n    endpoint: fake://%s\n", folder), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, "--driver", "fake", "--hosts", hosts, "--state-dir", filepath.Join(disk.path, "state"), "--timing-sweep", "2s")
	return d, fake.New(fake.Options{Dir: folder})
}
