package confine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// What Landlock restricts, by the version of its interface that a kernel has.
const (
	abiNetwork = 4 // TCP
	abiScopes  = 6 // signals and abstract sockets
	abiSockets = 9 // sockets by path
)

// findLandlock says what the kernel's Landlock can do, and what is missing for a whole box.
func (c *Confiner) findLandlock(ctx context.Context) (way, string, error) {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return way{}, "", errors.New("the kernel has no Landlock, or it is not switched on")
	}
	w := way{mode: Landlock, namespaces: tryNamespaces(ctx)}
	lacks := []string{"the names of files and processes are visible"}
	if abi < abiSockets {
		lacks = append(lacks, "sockets by path are not held back, the engine's among them")
	}
	if !w.namespaces {
		lacks = append(lacks, "new namespaces cannot be had, so UDP is not held back")
		if abi < abiNetwork {
			lacks = append(lacks, "nor is TCP")
		}
		if abi < abiScopes {
			lacks = append(lacks, "processes of the same user can be signalled")
		}
	}
	return w, fmt.Sprintf("Landlock (version %d) alone holds: %s", abi, strings.Join(lacks, ", ")), nil
}

// tryNamespaces runs this machine's shell, or nothing, in new namespaces; only that tells whether they can be had.
func tryNamespaces(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for _, path := range []string{"/bin/true", "/usr/bin/true", "/bin/sh"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, path)
		cmd.Env = []string{}
		newNamespaces(cmd, false)
		return cmd.Run() == nil
	}
	return false
}

// newNamespaces has a command start in namespaces of its own. Its user is mapped to none of theirs on purpose: on files it is who
// it was, capabilities in the namespace end with the execution of the program, and the maps need no writing, for which the thread has no right any more.
func newNamespaces(cmd *exec.Cmd, network bool) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	if !network {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	}
}

// restrictThread takes from the calling thread all but what a box may use: a program that it starts inherits that. The
// thread cannot be used for anything else afterwards.
func (c *Confiner) restrictThread(p *Process) error {
	b := p.box
	config := landlock.V9
	if b.Network {
		config = landlock.Config{HandledAccessFS: landlock.AccessFSSet(allFiles)}
	}
	rules := []landlock.Rule{
		landlock.RODirs(existing(systemPaths, true)...).IgnoreIfMissing(),
		landlock.ROFiles(existing(systemPaths, false)...).IgnoreIfMissing(),
		landlock.RWFiles("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom").IgnoreIfMissing(),
		landlock.ROFiles(b.Path),
		landlock.RODirs(existing(b.Read, true)...).WithResolveUnix(),
		landlock.ROFiles(existing(b.Read, false)...).WithResolveUnix(),
	}
	if b.Network {
		rules = append(rules, landlock.RODirs(existing(networkPaths, true)...), landlock.ROFiles(existing(networkPaths, false)...))
	}
	if len(b.Write) > 0 {
		rules = append(rules, landlock.RWDirs(b.Write...).WithResolveUnix())
	}
	fd, flags, err := config.BestEffort().NewRulesetFD(rules...)
	if err != nil {
		return fmt.Errorf("set up Landlock: %w", err)
	}
	if fd < 0 {
		return errors.New("set up Landlock: the kernel restricts nothing")
	}
	defer unix.Close(fd) //nolint:errcheck // the thread holds what it describes
	if c.way.namespaces {
		newNamespaces(p.cmd, b.Network)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	if err := ll.LandlockRestrictSelf(fd, flags); err != nil {
		return fmt.Errorf("restrict by Landlock: %w", err)
	}
	return nil
}

const allFiles = 1<<17 - 1

// existing picks the folders, or all that are not, out of those that are there.
func existing(paths []string, folders bool) []string {
	var found []string
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() == folders {
			found = append(found, path)
		}
	}
	return found
}
