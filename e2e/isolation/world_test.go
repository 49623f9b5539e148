//go:build linux

package isolation_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world is what there is to be reached, by the names that probes and holes use.
type world struct {
	t     *testing.T
	label string
	names map[string]string
	// lacks says why a name has no value on this machine.
	lacks map[string]string
	// ears give what has been heard of datagrams that a probe sent as from somebody else.
	ears []func() string
}

// heard waits a while for a datagram with a text.
func (w *world) heard(text string) bool {
	deadline := time.After(3 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, ear := range w.ears {
			if strings.Contains(ear(), "heard "+text+"\n") {
				return true
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
}

// attempt is a probe as it is tried in one place: {text} is a text that is sent there and nowhere else.
func (w *world) attempt(try string) (line, text string) {
	text = "forged-" + token()[:10]
	line, _ = w.fill(strings.ReplaceAll(try, "{text}", text))
	if !strings.Contains(try, "{text}") {
		text = ""
	}
	return line, text
}

// arrived corrects what a probe said of a datagram that it sent and that nobody heard.
func (w *world) arrived(said, text string) string {
	if text != "" && strings.HasPrefix(said, "reached") && !w.heard(text) {
		return "refused: sent, and never heard"
	}
	return said
}

var named = regexp.MustCompile(`\{[^{}]+\}`)

// fill puts values for names; why is not empty when one has none.
func (w *world) fill(text string) (filled, why string) {
	filled = named.ReplaceAllStringFunc(text, func(name string) string {
		if name = strings.Trim(name, "{}"); name == "text" {
			return ""
		}
		value, ok := w.names[name]
		if !ok {
			why = w.lacks[name]
			if why == "" {
				w.t.Fatalf("nothing in the world is called %q", name)
			}
		}
		return value
	})
	return filled, why
}

// newWorld plants what probes look for: on the host, on the engine, and beside a sandbox.
func newWorld(t *testing.T, mine, same, other sandbox) *world {
	w := &world{t: t, label: "bothy.isolation-test=" + token(), names: map[string]string{}, lacks: map[string]string{}}
	t.Cleanup(func() {
		for _, kind := range []string{"container", "network"} {
			for _, name := range labelled(t, kind, w.label) {
				remove(t, kind, name)
			}
		}
	})
	w.names["gateway"], w.names["bridge"] = mine.gateway, mine.bridge
	w.names["same"], w.names["other"] = same.address, other.address
	w.names["neighbour network"], w.names["neighbour gateway"] = same.network, same.gateway
	w.names["neighbour holder name"] = strings.TrimPrefix(must(t, "docker", "inspect", "-f", "{{.Name}}", same.holder), "/")
	w.names["docker0"] = gatewayOf(t, "bridge")
	w.names["host"] = hostAddress(t)
	w.names["state"], w.names["socket"], w.names["socket folder"] = mine.d.state(), mine.d.socket(), filepath.Dir(mine.d.socket())
	w.listeners()
	w.containers()
	w.canaries()
	w.disk()
	w.lan(mine)
	return w
}

// hostAddress is the address that this host leaves by.
func hostAddress(t *testing.T) string {
	t.Helper()
	c, err := net.Dial("udp", "198.51.100.1:9") // sends nothing
	if err != nil {
		t.Fatalf("this host has no way out: %v", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}

// listeners answer on the host: the same port on each address that a sandbox may take for the host's.
func (w *world) listeners() {
	w.t.Helper()
	addrs := []string{w.names["gateway"], w.names["host"], w.names["docker0"], w.names["neighbour gateway"]}
	for try := 0; w.names["port"] == ""; try++ {
		port, err := w.listenAll(addrs)
		if err != nil && try == 20 {
			w.t.Fatalf("no port is free on all of %v: %v", addrs, err)
		}
		w.names["port"] = port
	}
	w.names["loopback port"] = w.listen("127.0.0.1:0")
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		w.lacks["loopback6 port"] = "the host has no IPv6: " + err.Error()
	} else {
		w.answer(l)
		w.names["loopback6 port"] = portOf(l.Addr())
	}
	w.names["abstract"] = "bothy-isolation-" + token()
	l, err := net.Listen("unix", "@"+w.names["abstract"])
	if err != nil {
		w.t.Fatal(err)
	}
	w.answer(l)
	w.bridge6()
}

// listenAll opens one port for TCP and UDP on each address.
func (w *world) listenAll(addrs []string) (port string, err error) {
	port = "0"
	var open []func()
	defer func() {
		for _, then := range open {
			then()
		}
	}()
	for _, addr := range addrs {
		l, err := net.Listen("tcp4", net.JoinHostPort(addr, port))
		if err != nil {
			return "", err
		}
		w.t.Cleanup(func() { _ = l.Close() })
		port = portOf(l.Addr())
		pc, err := net.ListenPacket("udp4", net.JoinHostPort(addr, port))
		if err != nil {
			return "", err
		}
		w.t.Cleanup(func() { _ = pc.Close() })
		open = append(open, func() { w.answer(l); go echo(pc) })
	}
	return port, nil
}

func (w *world) listen(addr string) (port string) {
	w.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.answer(l)
	return portOf(l.Addr())
}

func (w *world) answer(l net.Listener) {
	w.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close() // being there is all
		}
	}()
}

func echo(pc net.PacketConn) {
	b := make([]byte, 512)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = pc.WriteTo(b[:n], from) // who asked asks again
	}
}

func portOf(a net.Addr) string {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return ""
	}
	return port
}

// bridge6 listens on the IPv6 address that the sandbox's bridge may have.
func (w *world) bridge6() {
	why := "the sandbox's bridge has no IPv6 address"
	if iface, err := net.InterfaceByName(w.names["bridge"]); err == nil {
		addrs, err := iface.Addrs()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, a := range addrs {
			if ip := a.(*net.IPNet).IP; ip.IsLinkLocalUnicast() && ip.To4() == nil {
				w.names["bridge6"], w.names["port6"] = ip.String(), w.listen(fmt.Sprintf("[%s%%%s]:0", ip, iface.Name))
				return
			}
		}
	}
	w.lacks["bridge6"], w.lacks["port6"] = why, why
}

// containers are others on the engine that have nothing to do with bothy.
func (w *world) containers() {
	w.names["control network"] = "bothy-isolation-" + token()
	must(w.t, "docker", "network", "create", "--label", w.label, w.names["control network"])
	w.names["control bridge"] = "br-" + must(w.t, "docker", "network", "inspect", "-f", "{{.Id}}", w.names["control network"])[:12]
	w.names["target name"] = "bothy-isolation-" + token()
	run := []string{"run", "-d", "--rm", "--label", w.label, "-v", probePath() + ":" + inside + ":ro", "--entrypoint", inside}
	id := must(w.t, "docker", append(run, "-p", w.names["docker0"]+"::8080", image, "listen", ":8080")...)
	w.names["container"] = must(w.t, "docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", id)
	_, w.names["published"], _ = strings.Cut(must(w.t, "docker", "port", id, "8080/tcp"), ":")
	must(w.t, "docker", append(run, "--network", w.names["control network"], "--name", w.names["target name"], image, "wait")...)
}

// canaries are a file, a process with a secret in its environment, and shared memory, all of the host's.
func (w *world) canaries() {
	w.names["canary"], w.names["secret canary"] = token(), token()
	w.names["canary file"] = filepath.Join(w.t.TempDir(), "canary")
	w.names["shared file"] = "bothy-isolation-" + token()
	shared := filepath.Join("/dev/shm", w.names["shared file"])
	w.t.Cleanup(func() { _ = os.Remove(shared) }) // it may not have been made
	for _, path := range []string{w.names["canary file"], shared} {
		if err := os.WriteFile(path, []byte("canary\n"), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	cmd := exec.Command(probePath(), "wait", "bothy-canary-"+w.names["canary"])
	cmd.Env = []string{"SECRET=bothy-canary-" + w.names["secret canary"]}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // by that signal
	})
	key := int(0x62000000 | uint32(os.Getpid())) //nolint:gosec // a process id is small
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		w.t.Fatalf("make shared memory: %v", err)
	}
	w.t.Cleanup(func() {
		if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
			w.t.Errorf("remove shared memory: %v", err)
		}
	})
	w.names["segment"] = strconv.Itoa(key)
	if w.names["hostname"], err = os.Hostname(); err != nil {
		w.t.Fatal(err)
	}
}

// disk finds a disk that the host itself may read.
func (w *world) disk() {
	f, err := os.Open("/proc/partitions")
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) != 4 || strings.HasPrefix(words[3], "ram") || strings.HasPrefix(words[3], "loop") {
			continue
		}
		disk, err := os.Open("/dev/" + words[3])
		if err != nil {
			continue
		}
		_ = disk.Close() // it was only opened
		if _, err := strconv.Atoi(words[0]); err == nil {
			w.names["disk major"], w.names["disk minor"], w.names["disk"] = words[0], words[1], "/dev/"+words[3]
			return
		}
	}
	for _, name := range []string{"disk", "disk major", "disk minor"} {
		w.lacks[name] = "the host may read no disk itself"
	}
}
