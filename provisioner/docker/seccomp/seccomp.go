// Package seccomp is the list of system calls that code in a sandbox may make: bothy's own, so that it is the
// same whatever the age of the engine.
//
// It is the newest profile of Docker less what a build does not need. It is an allow-list: a call that a later
// kernel brings is refused until somebody has looked at it.
package seccomp

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// option is what the engine calls a profile among a container's security options.
const option = "seccomp="

// families are the address families of sockets. All others are doors that no network namespace and no firewall
// rule closes (AF_VSOCK, to the hypervisor), or parts of the kernel that few look at.
var families = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// refused are calls that Docker's profile allows and a sandbox is refused, with the error that programs take as
// "this kernel has none", so that they fall back.
var refused = []string{
	"clone3",     // its flags, new namespaces among them, lie behind a pointer; every C library falls back to clone
	"io_setup",   // its requests are bounded per machine (fs.aio-max-nr), and by nothing per sandbox
	"socketcall", // sockets of 32-bit programs: the family lies behind a pointer, where no filter sees it
}

// never are calls that must not become allowed, whatever a later version of the base says.
var never = []string{
	"add_key", "keyctl", "request_key", // keys are counted per user of the machine, and lie outside of namespaces
	"io_uring_setup", "io_uring_enter", "io_uring_register", // it opens and connects past this filter
	"setns", "unshare", "mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsmount", "fsconfig", "fspick",
	"open_tree", "open_tree_attr", "move_mount", "mount_setattr",
	"bpf", "perf_event_open", "userfaultfd", "open_by_handle_at", "kcmp", "pidfd_getfd", "fanotify_init",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
	"acct", "quotactl", "quotactl_fd", "syslog", "iopl", "ioperm", "vhangup", "settimeofday", "clock_settime", "clock_settime64",
	"lookup_dcookie", "nfsservctl", "uselib", "vm86", "vm86old",
}

// arches are the machines that bothy runs on, as the profile names them. 32-bit programs run on them, without sockets.
var arches = []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64}

// Profile returns the profile as compact JSON, in the form that Docker 20.10 and later take. It is the same for
// sandboxes with and without root: nothing in it depends on a capability.
var Profile = sync.OnceValue(func() string {
	text, err := json.Marshal(build(seccomp.DefaultProfile()))
	if err != nil {
		panic("the seccomp profile, a constant, has no JSON: " + err.Error())
	}
	return string(text)
})

// Option is the profile as one of a container's security options.
func Option() string { return option + Profile() }

// Is reports whether a container's security options hold this profile, and no other.
func Is(options []string) bool {
	profiles := slices.DeleteFunc(slices.Clone(options), func(o string) bool { return !strings.HasPrefix(o, option) })
	return len(profiles) == 1 && profiles[0] == Option()
}

// build cuts Docker's profile down. It leaves out all that hangs on a capability: no sandbox has one of them.
func build(base *seccomp.Seccomp) *seccomp.Seccomp {
	out := &seccomp.Seccomp{LinuxSeccomp: specs.LinuxSeccomp{DefaultAction: specs.ActErrno}}
	for _, a := range base.ArchMap {
		if slices.Contains(arches, a.Arch) {
			// Not x32: the same calls by other numbers, which no distribution uses.
			a.SubArches = slices.DeleteFunc(slices.Clone(a.SubArches), func(s specs.Arch) bool { return s == specs.ArchX32 })
			out.ArchMap = append(out.ArchMap, a)
		}
	}
	for _, rule := range base.Syscalls {
		if kept := keep(rule); kept != nil {
			out.Syscalls = append(out.Syscalls, kept)
		}
	}
	for _, family := range families {
		out.Syscalls = append(out.Syscalls, allow("socket", family))
	}
	out.Syscalls = append(out.Syscalls, allow("socketpair", unix.AF_UNIX))
	nosys := uint(unix.ENOSYS)
	out.Syscalls = append(out.Syscalls,
		&seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{Names: refused, Action: specs.ActErrno, ErrnoRet: &nosys}})
	return out
}

// keep returns what stays of one of Docker's rules, nil when nothing does.
func keep(rule *seccomp.Syscall) *seccomp.Syscall {
	if rule.Action != specs.ActAllow || rule.Includes != nil && (len(rule.Includes.Caps) > 0 || !ours(rule.Includes.Arches)) {
		return nil
	}
	names := slices.DeleteFunc(slices.Clone(rule.Names), func(name string) bool {
		return slices.Contains(refused, name) || slices.Contains(never, name) || name == "socket" || name == "socketpair"
	})
	if len(names) == 0 {
		return nil
	}
	kept := *rule
	kept.Names, kept.Comment = names, ""
	if kept.Excludes != nil { // of capabilities: nobody has them; of machines: it stays
		kept.Excludes = nil
		if len(rule.Excludes.Arches) > 0 {
			kept.Excludes = &seccomp.Filter{Arches: rule.Excludes.Arches}
		}
	}
	return &kept
}

// ours reports whether a rule for some machines is for one of ours, or for all.
func ours(machines []string) bool {
	return len(machines) == 0 || slices.ContainsFunc(machines, func(m string) bool {
		return slices.Contains([]string{"amd64", "x86", "arm64", "arm"}, m)
	})
}

func allow(name string, first uint64) *seccomp.Syscall {
	return &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{
		Names: []string{name}, Action: specs.ActAllow,
		Args: []specs.LinuxSeccompArg{{Index: 0, Value: first, Op: specs.OpEqualTo}},
	}}
}
