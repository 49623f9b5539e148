// Package firewall keeps sandboxes from the host, its private networks and each other: the rules of an installation, as a value and as
// they are in this machine's tables, and the connections that the kernel remembers. It knows addresses and bridges, no sandbox.
package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/output"
)

// Op names what is done in errors.
const Op = "isolate sandboxes"

// runFunc runs a command of the host with an input and gives its output. Tests replace it.
type runFunc func(ctx context.Context, stdin string, argv ...string) (string, error)

// Tables sets and checks the isolation rules on the host.
type Tables struct {
	// Names are those of the installation.
	Names Names
	pool  netip.Prefix
	allow []netip.Prefix
	dns   func() []netip.Addr
	run   runFunc
	look  func(binary string) (string, error) // gives a program's absolute path
	// legacy reports whether the kernel holds tables of the older kind: only then is iptables-legacy run, as it makes them.
	legacy func() bool
	root   bool

	mu     sync.Mutex
	prefix string // the variant in use: "iptables", "iptables-legacy" or "iptables-nft"; "" before the first look
	wrote  string // what the last write was made of
	read   string // how our chains read after it
	lacks  error  // why some rules are left out: this host has no means for them
}

// New makes the rules of an installation for its pool of networks. dns gives the name servers that sandboxes ask.
func New(fw Names, pool netip.Prefix, allow []netip.Prefix, dns func() []netip.Addr) *Tables {
	return &Tables{Names: fw, pool: pool, allow: allow, dns: dns, run: runHost, look: hostProgram, legacy: legacyTables, root: os.Geteuid() == 0}
}

// hostPath is where programs of the host are looked for, and the PATH that they run with, whatever bothyd's own PATH is:
// that of an ordinary user, of cron or of su often lacks sbin.
const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/wrappers/bin:/run/current-system/sw/bin"

// hostProgram returns the absolute path of a program in hostPath.
func hostProgram(name string) (string, error) { return programIn(hostPath, name) }

func programIn(path, name string) (string, error) {
	for dir := range strings.SplitSeq(path, ":") {
		// With a slash in it, LookPath asks only whether that file can be run.
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s", name, path)
}

// legacyTables reports whether this network namespace has tables of iptables-legacy. What cannot be read may have some.
func legacyTables() bool {
	names, err := os.ReadFile("/proc/net/ip_tables_names")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false // the kernel's module was never needed
	case err != nil:
		return legacyModules("/proc/modules")
	}
	return len(bytes.TrimSpace(names)) > 0
}

// legacyModules is for those who may not read the tables' names: a table of the older kind needs its module.
func legacyModules(list string) bool {
	modules, err := os.ReadFile(list)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(modules)) {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "iptable_") {
			return true
		}
	}
	return false
}

// runHost runs a command, made from constants and hex digits, without a shell and with a fixed environment.
func runHost(ctx context.Context, stdin string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + hostPath, "LC_ALL=C"}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if said := strings.TrimSpace(errs.String()); said != "" {
			return "", fmt.Errorf("%s: %w: %s", argv[0], err, output.FirstLine(said))
		}
		return "", fmt.Errorf("%s: %w", argv[0], err)
	}
	return out.String(), nil
}

// Assert makes the rules what they should be: chains, their content, and the jumps to them in front.
// It changes nothing when all is well. Impossible gives class Permanent, a failure Transient.
func (t *Tables) Assert(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	listing, err := t.choose(ctx)
	if err != nil {
		return err
	}
	want := t.Names.restore(t.dns(), t.pool, t.allow, false)
	if want != t.wrote || t.Names.ours(listing) != t.read {
		if err := t.write(ctx, want); err != nil {
			return Broken("set the rules", err)
		}
		if listing, err = t.list(ctx, t.prefix); err != nil {
			return Broken("read the rules back", err)
		}
		t.wrote, t.read = want, t.Names.ours(listing)
	}
	if err := t.lead(ctx, t.prefix, listing, t.Names.jumps()); err != nil {
		return err
	}
	six := t.six()
	if six == "" {
		return nil
	}
	if listing, err = t.list(ctx, six); err != nil {
		return Broken("read the rules for IPv6", err)
	}
	return t.lead(ctx, six, listing, t.Names.jumps6())
}

// write sets the chains' content; where the kernel lacks what some rules need, all the others.
func (t *Tables) write(ctx context.Context, rules string) error {
	_, err := t.Do(ctx, rules, t.prefix+"-restore", "-w", "5", "--noflush")
	t.lacks = nil
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, again := t.Do(ctx, t.Names.restore(t.dns(), t.pool, t.allow, true), t.prefix+"-restore", "-w", "5", "--noflush"); again != nil {
		return err
	}
	t.lacks = err
	return nil
}

// choose finds the variant of iptables to use: the one that Docker uses, else the first that works.
// Rules of either variant hold; this one is where people look. It gives the variant's rules.
func (t *Tables) choose(ctx context.Context) (listing string, err error) {
	if t.prefix != "" {
		if listing, err = t.list(ctx, t.prefix); err == nil {
			return listing, nil
		}
		t.prefix = "" // the host's firewall was set up anew
	}
	if !t.root {
		if _, err := t.look("sudo"); err != nil {
			return "", Impossible("bothyd is not root and there is no sudo", adviceRights, err)
		}
		if _, err := t.Do(ctx, "", "true"); err != nil {
			return "", Impossible("bothyd is not root and sudo asks for a password", adviceRights, err)
		}
	}
	var first string
	var last error
	for _, name := range []string{"iptables", "iptables-legacy", "iptables-nft"} {
		if _, err := t.look(name); err != nil {
			continue
		}
		// Its first look would make empty tables, of which every later iptables on this host warns.
		if name == "iptables-legacy" && first != "" && !t.legacy() {
			continue
		}
		its, err := t.list(ctx, name)
		if err != nil {
			last = err
			continue
		}
		if first == "" {
			first, listing = name, its
		}
		if _, err := t.Do(ctx, "", name, "-w", "5", "-t", "filter", "-S", "DOCKER-USER"); err == nil {
			t.prefix = name
			return its, nil
		}
	}
	switch {
	case first != "":
		t.prefix = first
		return listing, nil
	case last == nil:
		return "", Impossible("iptables is not installed: it was looked for in "+hostPath, adviceInstall, nil)
	case ctx.Err() != nil:
		return "", Broken("read the rules", last)
	}
	return "", Impossible("the firewall's rules cannot be read: "+last.Error(), adviceRights, last)
}

// list reads the whole table at once: a sweep looks at it, and each command is a process.
func (t *Tables) list(ctx context.Context, binary string) (string, error) {
	return t.Do(ctx, "", binary, "-w", "5", "-t", table, "-S")
}

// lead puts jumps in front of their chains, before anything else may let a packet through, and takes other
// copies of them away, each in one step: there is no moment without it, and no other rule is touched by number.
func (t *Tables) lead(ctx context.Context, binary, listing string, jumps []jump) error {
	for _, j := range jumps {
		change := moveToFront(rulesOf(listing, j.chain), j)
		if change == "" {
			continue
		}
		if _, err := t.Do(ctx, change, binary+"-restore", "-w", "5", "--noflush"); err != nil {
			return Broken("set a rule in chain "+j.chain, err)
		}
	}
	return nil
}

// six is the IPv6 command of the variant in use, "" where the host has no IPv6 or no such command.
// The networks have no IPv6 of their own; these rules are a second lock.
func (t *Tables) six() string {
	if on, err := os.ReadFile("/proc/net/if_inet6"); err != nil || len(on) == 0 {
		return ""
	}
	six := strings.Replace(t.prefix, "iptables", "ip6tables", 1)
	if _, err := t.look(six); err != nil {
		return ""
	}
	return six
}

// Remove takes rules and chains away, as far as they are there, whoever set them.
func (t *Tables) Remove(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	listing, err := t.choose(ctx)
	if err != nil {
		return nil // without the right or the means to set rules there are none of ours
	}
	t.wrote, t.read = "", ""
	if t.Names.ours(listing) == "" {
		return nil // the chains are not there
	}
	errs := []error{t.unlead(ctx, t.prefix, listing, t.Names.jumps())}
	if six := t.six(); six != "" {
		listing, err := t.list(ctx, six)
		errs = append(errs, err, t.unlead(ctx, six, listing, t.Names.jumps6()))
	}
	for _, c := range t.Names.chains() {
		if !strings.Contains(listing, "-N "+c+"\n") {
			continue // an earlier version's rules have not all of them
		}
		for _, flag := range []string{"-F", "-X"} {
			_, err := t.Do(ctx, "", t.prefix, "-w", "5", "-t", table, flag, c)
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Broken("remove the rules", err)
	}
	return nil
}

// unlead removes the jumps to our chains.
func (t *Tables) unlead(ctx context.Context, binary, listing string, jumps []jump) error {
	var errs []error
	for _, j := range jumps {
		for _, r := range rulesOf(listing, j.chain) {
			if r == j.rule {
				_, err := t.Do(ctx, "", append([]string{binary, "-w", "5", "-t", table, "-D", j.chain}, strings.Fields(r)...)...)
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Do runs a command of the host by its absolute path, through sudo when that is needed.
func (t *Tables) Do(ctx context.Context, stdin string, argv ...string) (string, error) {
	program, err := t.look(argv[0])
	if err != nil {
		return "", err
	}
	argv = append([]string{program}, argv[1:]...)
	if !t.root {
		sudo, err := t.look("sudo")
		if err != nil {
			return "", err
		}
		argv = append([]string{sudo, "-n"}, argv...)
	}
	return t.run(ctx, stdin, argv...)
}

// What to do where rules cannot be set.
const (
	adviceRights  = "Let bothyd set firewall rules (run it as root, or allow it sudo without a password)"
	adviceInstall = "Install iptables, also where Docker uses nftables itself (apt install iptables, dnf install iptables-nft)"
	AdviceHere    = "Run bothyd on the host of an engine that runs as root"
)

// Impossible is the refusal to go without isolation, with what to do.
func Impossible(why, advice string, err error) error {
	return &provisioner.Error{Class: provisioner.Permanent, Op: Op, Err: err,
		Sentence: why + ": sandboxes would reach the host and its private networks. " + advice + ", or set network.isolation to off"}
}

// Broken is a firewall command that failed.
func Broken(what string, err error) error {
	return &provisioner.Error{Class: provisioner.Transient, Op: Op, Sentence: what + ": " + err.Error(), Err: err}
}

// Lacking returns why some rules are left out, nil when none is.
func (t *Tables) Lacking() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lacks
}

// CanFlush returns why connections are not forgotten, nil when they are.
func (t *Tables) CanFlush() error {
	if t.root {
		return nil
	}
	if _, err := t.look("conntrack"); err != nil {
		return ErrFlowsStay
	}
	return nil
}

// Variant is the variant of iptables in use: "iptables", "iptables-legacy" or "iptables-nft"; "" before the first look.
func (t *Tables) Variant() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.prefix
}

// Use has programs found by look, as root or not, and the variant chosen anew; for tests.
func (t *Tables) Use(root bool, look func(binary string) (string, error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.root, t.look, t.prefix = root, look, ""
}
