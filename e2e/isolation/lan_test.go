//go:build linux

package isolation_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
)

// lanAddresses are a machine's in a network beside this one: private ranges, metadata services of clouds, and one of the
// internet (a range for documentation), which sandboxes are meant to reach.
var lanAddresses = []string{
	"10.211.77.9", "172.31.251.9", "192.168.251.9", "100.64.77.9", "198.18.77.9",
	"169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", internet, peer,
}

// internet is reached from a sandbox: what is closed is closed by its address, and not because there is no way.
const internet = "198.51.100.77"

// peer is one of the internet that the host itself speaks with; nobody has it but for these tests.
const peer = "198.51.100.78"

// lan makes a machine beside the host: a network namespace that has the addresses and answers at port 80. Only packets of
// the sandbox and of the controls are led there, so nothing changes for the host, nor for anybody else on it.
func (w *world) lan(mine sandbox) {
	said, err := makeLAN(w.t, mine.bridge, w.names["control bridge"])
	if err != nil {
		why := "no network can be made beside this machine: " + err.Error()
		for _, addr := range lanAddresses {
			w.lacks["lan "+addr] = why
		}
		w.lacks["flow"], w.lacks["flow peer"] = why, why
		return
	}
	w.ears = append(w.ears, said.String)
	w.flow()
	for _, addr := range lanAddresses {
		w.names["lan "+addr] = addr
	}
}

// flow has the host speak with a machine by UDP: what then comes from that machine's address and port is an answer to the
// host's firewall.
func (w *world) flow() {
	c, err := net.Dial("udp4", peer+":80")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	eventually(w.t, "the host speaks with "+peer, func() bool {
		if _, err := c.Write([]byte("hello")); err != nil {
			w.t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			w.t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 64))
		return err == nil
	})
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		w.t.Fatal(err)
	}
	said := &rig.Buffer{}
	go func() {
		b := make([]byte, 512)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			fmt.Fprintf(said, "heard %s\n", b[:n])
		}
	}()
	w.ears = append(w.ears, said.String)
	w.names["flow"], w.names["flow peer"] = c.LocalAddr().String(), peer+":80"
}

func makeLAN(t *testing.T, bridges ...string) (said *rig.Buffer, err error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, err
	}
	id := token()[:8]
	space, link, table := "bothy-"+id, "by-"+id, fmt.Sprint(1_000_000+rand.IntN(1_000_000_000))
	if _, err := command("ip", "netns", "add", space); err != nil {
		return nil, err
	}
	afterwards(t, "ip", "netns", "del", space) // its end of the link goes with it, and so does the other
	if err := steps(
		"ip link add "+link+" type veth peer name eth0 netns "+space,
		"ip link set "+link+" up",
		"ip -n "+space+" link set lo up",
		"ip -n "+space+" link set eth0 up",
		"ip -n "+space+" route add default dev eth0",
		"sysctl -qw net.ipv4.conf."+link+".rp_filter=2", // its answers come from where no route leads
	); err != nil {
		return nil, err
	}
	for _, addr := range lanAddresses {
		if err := steps(
			"ip -n "+space+" address add "+addr+"/32 dev eth0",
			"ip route add "+addr+"/32 dev "+link+" table "+table,
		); err != nil {
			return nil, err
		}
	}
	for _, bridge := range bridges {
		if _, err := command("ip", "rule", "add", "iif", bridge, "lookup", table); err != nil {
			return nil, err
		}
		afterwards(t, "ip", "rule", "del", "iif", bridge, "lookup", table)
	}
	var at []string
	for _, addr := range lanAddresses {
		at = append(at, addr+":80")
	}
	if err := steps("ip route add " + peer + "/32 dev " + link); err != nil { // goes with the link
		return nil, err
	}
	return background(t, exec.Command("ip", append([]string{"netns", "exec", space, probePath(), "listen"}, at...)...)), nil
}

func steps(lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if _, err := command(words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}
