package docker_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/seccomp"
)

// profiled returns a sandbox a seccomp profile, and capabilities that would let it make the calls: it is the profile
// alone that refuses.
func profiled(option string, caps ...string) func(*container.Config, *container.HostConfig) {
	return func(c *container.Config, h *container.HostConfig) {
		c.User = "0:0"
		h.SecurityOpt, h.CapAdd = []string{"no-new-privileges:true", option}, caps
	}
}

// calls makes system calls inside, as root, and reports which the kernel did not refuse.
func (e *engine) calls(id string, names []string) map[string]bool {
	e.t.Helper()
	out, err := exec.Command("docker", slices.Concat([]string{"exec", id, "probe", "call"}, names)...).Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != len(names) {
		e.t.Fatalf("probe call: %v: %q", err, out)
	}
	open := map[string]bool{}
	for i, name := range names {
		open[name] = lines[i] == "open"
	}
	return open
}

// TestSeccomp: the profile refuses what it must to a sandbox that has the capabilities for it; without the profile
// the same sandbox is refused none, so the probe proves something.
func TestSeccomp(t *testing.T) {
	e := newEngine(t)
	needed := []string{"socket unix", "socket inet", "socket inet6", "socket netlink", "socketpair unix", "clone", "ptrace", "process_vm_readv"}
	closed := []string{
		"socket vsock", "socket packet", "io_uring_setup", "io_setup", "keyctl", "add_key", "request_key",
		"unshare user", "unshare net", "unshare files", "setns", "clone3", "clone user", "clone net",
		"mount", "umount", "pivot_root", "chroot", "fsopen", "open_tree", "bpf", "perf_event_open", "userfaultfd",
		"open_by_handle", "pidfd_getfd", "kcmp", "quotactl", "syslog",
	}
	caps := []string{"SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "DAC_READ_SEARCH", "NET_RAW", "SYSLOG"}
	free := e.calls(e.sandbox(profiled("seccomp=unconfined", caps...)), slices.Concat(needed, closed))
	held := e.calls(e.sandbox(profiled(seccomp.Option(), caps...)), slices.Concat(needed, closed))
	for name, open := range free {
		if !open {
			t.Errorf("%s is refused without the profile too: the probe proves nothing", name)
		}
		if want := slices.Contains(needed, name); held[name] != want {
			t.Errorf("with the profile, %s is allowed: %v, want %v", name, held[name], want)
		}
	}
}

// builds is what people do in a sandbox: it must work with the profile.
const builds = `set -eux
cd /tmp
cat > a.c <<'EOF'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *f(void *p) { return p; }
int main(void) { pthread_t t; if (pthread_create(&t, 0, f, 0) || pthread_join(t, 0)) return 1; if (system("true")) return 2; puts("c works"); }
EOF
gcc -pthread -o a a.c && ./a
mkdir g && cd g && cat > main.go <<'EOF'
package main
import ("fmt"; "net"; "os/exec"; "time")
func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0"); if err != nil { panic(err) }
	if _, err := net.DialTimeout("tcp", l.Addr().String(), 10*time.Second); err != nil { panic(err) }
	if err := exec.Command("true").Run(); err != nil { panic(err) }
	fmt.Println("go works")
}
EOF
export HOME=/tmp GOCACHE=/tmp/gocache GOFLAGS=-mod=mod GOTOOLCHAIN=local
printf 'module x\n' > go.mod && go build -o x . && ./x
cd .. && python3 - <<'EOF'
import multiprocessing, subprocess, threading, mmap, asyncio
with multiprocessing.Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]
subprocess.run(["true"], check=True)
asyncio.run(asyncio.sleep(0))
print("python works")
EOF
mkdir -p pkg/hello-1.0/debian && cd pkg/hello-1.0 && cat > debian/control <<'EOF'
Source: hello
Maintainer: Somebody <somebody@example.org>
Standards-Version: 4.6.2

Package: hello
Architecture: all
Description: a package for a test
EOF
printf 'hello (1.0) unstable; urgency=low\n\n  * First.\n\n -- Somebody <somebody@example.org>  Mon, 30 Nov 2026 10:00:00 +0000\n' > debian/changelog
printf '#!/usr/bin/make -f\nclean build build-arch build-indep binary-arch:\nbinary binary-indep:\n\tmkdir -p debian/hello/DEBIAN debian/hello/opt\n\techo hello works > debian/hello/opt/hello\n\tprintf "\\043!/bin/sh\\nchown daemon:daemon /opt/hello\\n" > debian/hello/DEBIAN/postinst\n\tchmod 755 debian/hello/DEBIAN/postinst\n\tdpkg-gencontrol -phello -Pdebian/hello\n\tdpkg-deb --root-owner-group --build debian/hello ..\n' > debian/rules
chmod 755 debian/rules
dpkg-buildpackage -us -uc -b --no-check-builddeps -d
`

// TestConfinedBuilds: compilers, Go, Python and a Debian package's build work in a sandbox that is confined in every
// way, apt-get install as root with the five capabilities of the built-in blueprint does, and so does a terminal.
func TestConfinedBuilds(t *testing.T) {
	e := newEngine(t)
	if _, err := e.ResolveImage(t.Context(), "bothy/build"); err != nil {
		t.Skip("needs the image bothy/build:", err)
	}
	name := e.ReserveNetwork()
	confined, err := e.Additions(t.Context(), name, e.labels(e.owner()))
	if err != nil {
		t.Fatal(err)
	}
	id := e.sandbox(on(name), root, func(c *container.Config, h *container.HostConfig) {
		c.Image, h.Memory = "bothy/build", 2<<30
		h.SecurityOpt, h.CgroupParent, h.Binds, h.Mounts = docker.SecurityOpts(), confined.CgroupParent, confined.Binds, confined.Mounts
		limited(c, h)
	})
	made, err := e.api.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !seccomp.Is(made.HostConfig.SecurityOpt) || made.HostConfig.CgroupParent != confined.CgroupParent {
		t.Errorf("the engine made %v in %s", made.HostConfig.SecurityOpt, made.HostConfig.CgroupParent)
	}
	for _, step := range []struct{ user, script, want string }{
		{"dev", builds, "python works"},
		{"root", "apt-get -y install /tmp/pkg/hello_1.0_all.deb && stat -c %U /opt/hello && cat /opt/hello", "daemon\nhello works"},
		{"dev", "script -qec 'test -t 1 && echo a terminal works' /dev/null", "a terminal works"},
		{"dev", "grep localhost /etc/hosts && getent hosts localhost && hostname", "bothy"},
	} {
		out, err := exec.Command("docker", "exec", "-u", step.user, id, "sh", "-c", step.script).CombinedOutput()
		if err != nil || !strings.Contains(string(out), step.want) {
			t.Errorf("as %s: %v; want %q in:\n%s", step.user, err, step.want, out)
		}
	}
}
