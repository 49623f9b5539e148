package confine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// site is what a box stands beside: things that it must not reach, and those that it may.
type site struct {
	t                       *testing.T
	key, other, mine, given string
	outside                 string
	tcp, udp                string
	engine, broker, sibling string // sockets by path: two that are not given, and
	allowed                 string // the one that is
	abstract                string
	neighbour               int // a process
}

func newSite(t *testing.T) *site {
	t.Helper()
	// Not in /tmp, of which a box has its own; and a socket's path has to be short.
	root, err := os.MkdirTemp("/var/tmp", "box")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t}
	dir := func(name string) string {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := func(path string) string {
		if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.outside = filepath.Dir(file(filepath.Join(dir("state/tls"), "cert.pem")))
	s.key = file(filepath.Join(root, "state", "key"))
	s.other = filepath.Dir(file(filepath.Join(dir("state/work/other"), "terraform.tfstate")))
	s.mine = dir("state/work/mine")
	s.given = filepath.Dir(file(filepath.Join(dir("given"), "main.tf")))
	s.engine = s.listen("unix", filepath.Join(root, "engine.sock"))
	s.broker = s.listen("unix", filepath.Join(dir("sockets"), "other.sock"))
	s.allowed = s.listen("unix", filepath.Join(root, "sockets", "mine.sock"))
	s.abstract = s.listen("unix", "@bothy-confine-"+filepath.Base(root))
	s.tcp = s.listen("tcp", "127.0.0.1:0")
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	s.udp = udp.LocalAddr().String()
	go func() { // ends with the socket
		buffer := make([]byte, 16)
		for {
			_, from, err := udp.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte("x"), from)
		}
	}()
	s.sibling = "neighbour-" + filepath.Base(root)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	neighbour := exec.CommandContext(t.Context(), self, s.mine, s.sibling)
	neighbour.Args = []string{self, s.mine + "/" + s.sibling}
	neighbour.Env = []string{"CONFINE_PROBE=graceful", "TOKEN=of the neighbour"}
	out, err := neighbour.StdoutPipe()
	if err == nil {
		err = neighbour.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = neighbour.Wait() }) // the test's context has ended it
	if _, err := io.ReadAtLeast(out, make([]byte, 7), 7); err != nil {
		t.Fatal(err)
	}
	s.neighbour = neighbour.Process.Pid
	return s
}

func (s *site) listen(network, address string) string {
	s.t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("x"))
			go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
		}
	}()
	return l.Addr().String()
}

// box is one for a probe, which may use what is meant for it.
func (s *site) box(probe string, args ...string) confine.Box {
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	return confine.Box{
		Path: self, Args: args, Dir: s.mine, Env: []string{"CONFINE_PROBE=" + probe},
		Read: []string{s.given, s.allowed}, Write: []string{s.mine},
	}
}

// run tells whether a probe got there.
func run(t *testing.T, c *confine.Confiner, b confine.Box) (bool, string) {
	t.Helper()
	var out bytes.Buffer
	b.Stdout, b.Stderr = &out, &out
	err := c.Run(t.Context(), b, time.Second)
	said := strings.TrimSpace(out.String())
	var exit *confine.ExitError
	switch {
	case err == nil && strings.HasSuffix(said, "reached"):
		return true, said
	case errors.As(err, &exit) && exit.Code == 1 && strings.Contains(said, "refused: "):
		return false, said
	}
	t.Fatalf("the probe did not tell: %v: %s", err, said)
	return false, ""
}

type reach struct {
	probe string
	args  []string
	// root says that outside, too, only root gets there.
	root bool
	// landlock says that Landlock alone holds it back here (version 7).
	landlock bool
}

func (s *site) forbidden() map[string]reach {
	return map[string]reach{
		"a system file that only root reads":    {probe: "read", args: []string{"/etc/shadow"}, root: true, landlock: true},
		"the list of users":                     {probe: "read", args: []string{"/etc/passwd"}, landlock: true},
		"the daemon's key":                      {probe: "read", args: []string{s.key}, landlock: true},
		"a folder of the state directory":       {probe: "list", args: []string{s.outside}, landlock: true},
		"the folder of another environment":     {probe: "list", args: []string{s.other}, landlock: true},
		"the state of another environment":      {probe: "read", args: []string{s.other + "/terraform.tfstate"}, landlock: true},
		"the neighbours by a path through mine": {probe: "read", args: []string{s.mine + "/../other/terraform.tfstate"}, landlock: true},
		"a write to the state directory":        {probe: "write", args: []string{filepath.Dir(s.key)}, landlock: true},
		"a write to what is only to be read":    {probe: "write", args: []string{s.given}, landlock: true},
		"a write to the system's memory":        {probe: "write", args: []string{"/dev/shm"}, landlock: true},
		"a TCP port of the machine":             {probe: "dial", args: []string{"tcp", s.tcp}, landlock: true},
		"a UDP port of the machine":             {probe: "dial", args: []string{"udp", s.udp}, landlock: true},
		"an abstract socket":                    {probe: "dial", args: []string{"unix", s.abstract}, landlock: true},
		"the engine's socket":                   {probe: "dial", args: []string{"unix", s.engine}},
		"another broker's socket":               {probe: "dial", args: []string{"unix", s.broker}},
		"a process's command line":              {probe: "process", args: []string{s.sibling}, landlock: true},
		"a process's environment":               {probe: "read", args: []string{fmt.Sprintf("/proc/%d/environ", s.neighbour)}, landlock: true},
		"a process by signal":                   {probe: "signal", args: []string{fmt.Sprint(s.neighbour)}, landlock: true},
		"a process by ptrace":                   {probe: "ptrace", args: []string{fmt.Sprint(s.neighbour)}, landlock: true},
		"a mount":                               {probe: "mount", args: []string{s.mine}, root: true, landlock: true},
		"another user's id":                     {probe: "setuid", root: true, landlock: true},
		"a device":                              {probe: "mknod", args: []string{s.mine}, root: true, landlock: true},
		"the machine's name":                    {probe: "hostname", root: true, landlock: true},
		"another root":                          {probe: "chroot", args: []string{s.mine}, root: true, landlock: true},
		"a user namespace":                      {probe: "namespace"},
		"capabilities":                          {probe: "capabilities", root: true, landlock: true},
		"the privileges of a setuid program":    {probe: "privileges", landlock: true},
	}
}

// Issue 17: a box reaches what it is given and nothing else. Each probe is first shown to get there without a box.
func TestTheBoxReachesNothingElse(t *testing.T) {
	t.Setenv("CONFINE_SECRET", "of the daemon")
	for _, mode := range []confine.Mode{confine.Bubblewrap, confine.Landlock} {
		t.Run(string(mode), func(t *testing.T) {
			boxed := inMode(t, mode)
			bare := confine.New(confine.Config{Policy: confine.Off, Name: "bare"})
			s := newSite(t)
			for name, r := range s.forbidden() {
				t.Run(name, func(t *testing.T) {
					if r.root && os.Getuid() != 0 {
						t.Skip("outside, only root gets there, so for this user there is nothing to show")
					}
					if mode == confine.Landlock && !r.landlock {
						t.Skip("Landlock alone does not hold this back, and says so")
					}
					b := s.box(r.probe, r.args...)
					if probe := r.probe; probe != "hostname" { // that would rename this machine
						if ok, said := run(t, bare, b); !ok {
							t.Fatalf("the probe proves nothing, it is refused without a box: %s", said)
						}
					}
					undo(t, r, s.mine)
					if ok, said := run(t, boxed, b); ok {
						t.Errorf("reached from the box: %s", said)
					} else {
						t.Log(said)
					}
				})
			}
			t.Run("the daemon's environment", func(t *testing.T) {
				b := s.box("environment", "CONFINE_SECRET")
				if ok, said := run(t, boxed, b); ok {
					t.Error(said)
				}
				b.Env = append(b.Env, "CONFINE_SECRET=given")
				if ok, said := run(t, boxed, b); !ok {
					t.Error("what it is given does not reach it", said)
				}
			})
			t.Run("files of the daemon's that are open", func(t *testing.T) {
				if ok, said := run(t, boxed, s.box("descriptors")); ok && mode == confine.Bubblewrap {
					t.Error(said)
				}
			})
		})
	}
}

// undo what a probe did that got there.
func undo(t *testing.T, r reach, dir string) {
	t.Helper()
	var err error
	switch r.probe {
	case "mount":
		err = unix.Unmount(dir, unix.MNT_DETACH)
	case "mknod":
		err = os.Remove(filepath.Join(dir, "device"))
	case "write":
		err = os.Remove(filepath.Join(r.args[0], "bothy-written"))
	}
	if err != nil {
		t.Error(err)
	}
}

// inMode is a confiner in a mode, or skips where the machine has none.
func inMode(t *testing.T, mode confine.Mode) *confine.Confiner {
	t.Helper()
	cfg := confine.Config{Name: "test-" + string(mode)}
	if mode == confine.Landlock {
		cfg.Skip = []confine.Mode{confine.Bubblewrap}
	}
	c := confine.New(cfg)
	got, missing := c.Mode(t.Context())
	if got != mode {
		t.Skipf("%s cannot be had here: %s", mode, missing)
	}
	if whole := mode == confine.Bubblewrap; whole != (missing == "") {
		t.Errorf("%s lacks %q", mode, missing)
	}
	return c
}

// And a box that reaches what it may is not merely broken.
func TestTheBoxReachesWhatItIsGiven(t *testing.T) {
	for _, mode := range []confine.Mode{confine.Bubblewrap, confine.Landlock, confine.None} {
		t.Run(string(mode), func(t *testing.T) {
			c := confine.New(confine.Config{Policy: confine.Off, Name: "bare"})
			if mode != confine.None {
				c = inMode(t, mode)
			}
			s := newSite(t)
			for name, b := range map[string]confine.Box{
				"a file":     s.box("read", s.given+"/main.tf"),
				"its folder": s.box("write", s.mine),
				"its socket": s.box("dial", "unix", s.allowed),
				"nothing":    s.box("nothing"),
			} {
				if ok, said := run(t, c, b); !ok {
					t.Errorf("%s: %s", name, said)
				}
			}
			b := s.box("dial", "tcp", s.tcp)
			b.Network = true
			if ok, said := run(t, c, b); !ok {
				t.Errorf("the network when it is given: %s", said)
			}
			missing := s.box("nothing")
			missing.Read = append(missing.Read, filepath.Join(s.given, "not there"))
			if ok, said := run(t, c, missing); !ok {
				t.Errorf("with a path that is not there: %s", said)
			}
		})
	}
}

// The same as a plain user: root runs this test binary once more as nobody.
func TestAsAPlainUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is a plain user already")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("there is no setpriv to become a plain user with")
	}
	dir, err := os.MkdirTemp("", "plain")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err == nil {
		err = errors.Join(os.WriteFile(dir+"/test", program, 0o755), os.Mkdir(dir+"/tmp", 0o700), //nolint:gosec // others run it
			os.Chmod(dir, 0o755), os.Chown(dir+"/tmp", 65534, 65534))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", dir+"/test",
		"-test.v", "-test.run=^(TestTheBoxReaches.*|TestABound.*|TestAnInterrupt.*|TestNothingOutlives.*)$")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir + "/tmp", "HOME=" + dir + "/tmp", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "--- PASS: "); n < 40 {
		t.Errorf("only %d passed:\n%s", n, out)
	}
	t.Logf("%d passed, %d skipped", strings.Count(string(out), "--- PASS: "), strings.Count(string(out), "--- SKIP: "))
}

// With enforce and no whole box nothing runs; with prefer it runs and says what is missing.
func TestPolicies(t *testing.T) {
	s := newSite(t)
	none := []confine.Mode{confine.Bubblewrap, confine.Landlock}
	for _, skip := range [][]confine.Mode{none, {confine.Bubblewrap}} {
		strict := confine.New(confine.Config{Policy: confine.Enforce, Name: "strict", Skip: skip})
		err := strict.Run(t.Context(), s.box("nothing"), time.Second)
		var start *confine.StartError
		if !errors.As(err, &start) || !strings.Contains(err.Error(), "bubblewrap is left out") {
			t.Errorf("enforce without %v: %v", skip, err)
		}
	}
	loose := confine.New(confine.Config{Name: "loose", Skip: none})
	if ok, said := run(t, loose, s.box("nothing")); !ok {
		t.Error(said)
	}
	if mode, missing := loose.Mode(t.Context()); mode != confine.None || missing == "" {
		t.Errorf("%s, missing %q", mode, missing)
	}
}
