package docker_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
)

// one is a pool of a single network.
func one() func(*docker.Config) {
	return func(c *docker.Config) { c.Network.Pool = netip.PrefixFrom(dockertest.Pool().Addr(), 28) }
}

// as is a sandbox's command, until it is ready.
func (e *engine) listening(probe string, change ...func(*container.Config, *container.HostConfig)) (id string) {
	e.t.Helper()
	id = e.sandbox(append(change, func(c *container.Config, _ *container.HostConfig) {
		c.Cmd = append([]string{"probe"}, strings.Fields(probe)...)
	})...)
	until(e.t, "the answer of "+probe, func() bool { return len(readLogs(e.t, e, id, provisioner.LogsRequest{})) > 0 })
	return id
}

// cables counts those of outside.
var cables int

// outside puts a machine beside the host that sandboxes may reach: a container with a cable of its own.
func (e *engine) outside(id string) (addr string) {
	e.t.Helper()
	if os.Geteuid() != 0 {
		e.t.Skip("needs root, to lay a cable")
	}
	c, err := e.api.ContainerInspect(context.Background(), id)
	if err != nil {
		e.t.Fatal(err)
	}
	pid, here, there := strconv.Itoa(c.State.Pid), "bt"+randomHex(4), "bt"+randomHex(4)
	cables++
	n := (int(testRun[0])*31 + int(testRun[1]) + cables) % 64 * 4 // four addresses of a range for documentation
	run := func(line string) {
		e.t.Helper()
		if out, err := exec.Command("/bin/sh", "-c", line).CombinedOutput(); err != nil {
			e.t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	run("ip link add " + here + " type veth peer name " + there)
	e.t.Cleanup(func() { _ = exec.Command("ip", "link", "del", here).Run() }) // the other end takes it along
	gw, host := "203.0.113."+strconv.Itoa(n+1), "203.0.113."+strconv.Itoa(n+2)
	run("ip addr add " + gw + "/30 dev " + here + " && ip link set " + here + " up")
	run("ip link set " + there + " netns " + pid)
	run("nsenter -t " + pid + " -n sh -c 'ip addr add " + host + "/30 dev " + there + " && ip link set " + there + " up'")
	return host
}

func (e *engine) subnet(reserved string) netip.Prefix {
	e.t.Helper()
	n, err := e.api.NetworkInspect(context.Background(), docker.SlotOf(reserved), network.InspectOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	return netip.MustParsePrefix(n.IPAM.Config[0].Subnet)
}

// TestFlowsEndWithTheirOwner: what somebody outside still sends to a sandbox that is gone does not reach the next one
// on its address. Where connections are kept it does, so the probe proves something.
func TestFlowsEndWithTheirOwner(t *testing.T) {
	e := newEngine(t, one())
	remote := e.outside(e.listening("answer :9000"))
	round := func() (heard bool) {
		first := e.ReserveNetwork()
		id := e.sandbox(on(first))
		e.all(id, "send", ":5000,"+remote+":9000")
		until(t, "the connection", func() bool { n, err := docker.FlowsOf(e.subnet(first)); return err == nil && n > 0 })
		if err := e.api.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		of := e.subnet(first)
		if err := e.release(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		second := e.ReserveNetwork()
		wantEqual(t, "the subnet", e.subnet(second).String(), of.String())
		next := e.sandbox(on(second))
		heard = e.probe(next, "hear", ":5000")[0]
		if err := e.api.ContainerRemove(t.Context(), next, container.RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		if err := e.release(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		return heard
	}
	if round() {
		t.Error("the next sandbox on the address hears what was meant for the one before")
	}
	defer e.KeepFlows()()
	remote = e.outside(e.listening("answer :9000")) // the first one's answers are not this one's
	until(t, "a packet for the sandbox before, where connections are kept", round)
}

// TestFlowsBounded: a sandbox has no more connections in the kernel's table than it may, and makes no more at once
// than it may. With the usual bounds it does, so the probe proves something.
func TestFlowsBounded(t *testing.T) {
	const tried = 200
	for name, c := range map[string]struct{ open, burst, least, most int }{
		"open":  {20, firewall.MaxFlows, 1, 25}, // a packet or two are let through while others are counted
		"burst": {firewall.MaxFlows, 20, 1, tried / 2},
		"usual": {firewall.MaxFlows, firewall.MaxFlows, tried, tried + 10},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.SetFlows(c.open, c.burst)
			reserved := e.ReserveNetwork()
			e.all(e.sandbox(on(reserved)), "flows", "198.51.100.1-"+strconv.Itoa(tried))
			n, err := docker.FlowsOf(e.subnet(reserved))
			if err != nil {
				t.Fatal(err)
			}
			if n < c.least || n > c.most {
				t.Errorf("%d connections in the table after %d were tried, want %d to %d", n, tried, c.least, c.most)
			}
		})
	}
}

// TestUsedUp: while every network is in use a request waits, and knows for what.
func TestUsedUp(t *testing.T) {
	e := newEngine(t, one())
	first := e.ReserveNetwork()
	_, err := e.Reserve(t.Context(), e.owner())
	wantClass(t, err, provisioner.Quota)
	if !provisioner.IsUnavailable(err) || !strings.Contains(err.Error(), "no free network: 1 of 1") {
		t.Errorf("got %v; want an error that is waited for, and says how many there are", err)
	}
	if err := e.release(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	e.ReserveNetwork()
}
