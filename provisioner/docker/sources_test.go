package docker_test

import (
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// within reads packets until one is what is wanted, or the time is over.
func within(pc net.PacketConn, d time.Duration, want string) bool {
	if pc.SetReadDeadline(time.Now().Add(d)) != nil {
		return false
	}
	b := make([]byte, 512)
	for {
		n, _, err := pc.ReadFrom(b)
		if err != nil {
			return false
		}
		if string(b[:n]) == want {
			return true
		}
	}
}

// TestForgedSource: a sandbox that may make packets by hand sends none in another's name, not even into a connection
// that the host has with that one. With the rule taken away it does, so the probe proves something.
func TestForgedSource(t *testing.T) {
	e := newEngine(t)
	name := e.ReserveNetwork()
	id := e.sandbox(on(name), func(c *container.Config, h *container.HostConfig) { c.User, h.CapAdd = "0:0", []string{"NET_RAW"} })
	peer := e.sandbox(on("bridge"), func(c *container.Config, _ *container.HostConfig) { c.Cmd = []string{"probe", "echo", ":5353"} })
	until(t, "the peer", func() bool { return len(readLogs(t, e, peer, provisioner.LogsRequest{})) > 0 })
	from := e.address(peer, "bridge") + ":5353"
	to, err := net.ResolveUDPAddr("udp4", from)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp4", e.gateway("bridge")+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	until(t, "an answer of the peer", func() bool { // from now on the host has a connection with it
		if _, err := pc.WriteTo([]byte("hello"), to); err != nil {
			t.Fatal(err)
		}
		return within(pc, time.Second, "hello")
	})
	forge := func() {
		t.Helper()
		out, err := exec.Command("docker", "exec", "-u", "root", id, "probe", "forge", from+","+pc.LocalAddr().String()).CombinedOutput()
		if err != nil || string(out) != "open\n" {
			t.Fatalf("forge: %v: %s", err, out)
		}
	}
	binary, _, _, _ := e.Firewall()
	was := e.counted(e.Source())
	forge()
	until(t, "a packet that the chain for sources dropped", func() bool { return e.counted(e.Source()) > was })
	if within(pc, 500*time.Millisecond, "forged") {
		t.Error("a forged packet reached the host")
	}
	if out, err := exec.Command(binary, "-w", "-t", "mangle", "-F", e.Source()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "a forged packet where it is allowed", func() bool { forge(); return within(pc, time.Second, "forged") })
	if err := e.Isolation(t.Context()); err != nil {
		t.Fatal(err)
	}
	was = e.counted(e.Source())
	forge()
	until(t, "a packet that the chain for sources dropped", func() bool { return e.counted(e.Source()) > was })
	if within(pc, 500*time.Millisecond, "forged") {
		t.Error("a forged packet reached the host after the rules were put right")
	}
}
