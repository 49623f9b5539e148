package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
)

const opIsolate = "isolate sandboxes"

// runFunc runs a command of the host with an input and gives its output. Tests replace it.
type runFunc func(ctx context.Context, stdin string, argv ...string) (string, error)

// tables sets and checks the isolation rules on the host.
type tables struct {
	fw    firewall
	allow []netip.Prefix
	dns   func() []netip.Addr
	run   runFunc
	look  func(binary string) (string, error)
	root  bool

	mu     sync.Mutex
	prefix string // the variant in use: "iptables", "iptables-legacy" or "iptables-nft"; "" before the first look
	wrote  string // what the last write was made of
	read   string // how our chains read after it
}

func newTables(fw firewall, allow []netip.Prefix) *tables {
	return &tables{fw: fw, allow: allow, dns: engineResolvers, run: runHost, look: exec.LookPath, root: os.Geteuid() == 0}
}

// runHost runs a command without a shell and with no environment but a fixed one.
func runHost(ctx context.Context, stdin string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // argv is made from constants and hex digits
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if said := strings.TrimSpace(errs.String()); said != "" {
			return "", fmt.Errorf("%s: %w: %s", argv[0], err, firstLine(said))
		}
		return "", fmt.Errorf("%s: %w", argv[0], err)
	}
	return out.String(), nil
}

// assert makes the rules what they should be: chains, their content, and the jumps to them in front.
// It changes nothing when all is well. Impossible gives class Permanent, a failure Transient.
func (t *tables) assert(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.choose(ctx); err != nil {
		return err
	}
	want := t.fw.restore(t.dns(), t.allow)
	have, err := t.chains(ctx)
	if err != nil || want != t.wrote || have != t.read {
		if _, err := t.do(ctx, want, t.prefix+"-restore", "-w", "5", "--noflush"); err != nil {
			return broken("set the rules", err)
		}
		if have, err = t.chains(ctx); err != nil {
			return broken("read the rules back", err)
		}
		t.wrote, t.read = want, have
	}
	for _, j := range t.fw.jumps() {
		if err := t.lead(ctx, t.prefix, j); err != nil {
			return err
		}
	}
	if err := t.checkForward(ctx); err != nil {
		return err
	}
	if six := t.six(); six != "" {
		for _, j := range t.fw.jumps6() {
			if err := t.lead(ctx, six, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose finds the variant of iptables that holds Docker's chains.
func (t *tables) choose(ctx context.Context) error {
	if t.prefix != "" {
		if _, err := t.do(ctx, "", t.prefix, "-w", "5", "-S", "DOCKER-USER"); err == nil {
			return nil
		}
		t.prefix = "" // the engine or the host's firewall was set up anew
	}
	if !t.root {
		if _, err := t.look("sudo"); err != nil {
			return impossible("bothyd is not root and there is no sudo", nil)
		}
		if _, err := t.run(ctx, "", "sudo", "-n", "true"); err != nil {
			return impossible("bothyd is not root and sudo asks for a password", err)
		}
	}
	var last error
	for _, name := range []string{"iptables", "iptables-legacy", "iptables-nft"} {
		if _, err := t.look(name); err != nil {
			continue
		}
		_, err := t.do(ctx, "", name, "-w", "5", "-S", "DOCKER-USER")
		if err == nil {
			t.prefix = name
			return nil
		}
		if ctx.Err() != nil {
			return broken("look for Docker's rules", err)
		}
		last = err
	}
	if last == nil {
		return impossible("iptables is not installed", nil)
	}
	return impossible("Docker's chain DOCKER-USER is not there (does the engine run here, with its iptables setting on?)", last)
}

// chains reads both of our chains.
func (t *tables) chains(ctx context.Context) (string, error) {
	var all string
	for _, c := range []string{t.fw.forward, t.fw.input} {
		text, err := t.do(ctx, "", t.prefix, "-w", "5", "-S", c)
		if err != nil {
			return "", err
		}
		all += text
	}
	return all, nil
}

// lead puts a jump in front of its chain, before anything else may let a packet through. There is no moment without it.
func (t *tables) lead(ctx context.Context, binary string, j jump) error {
	text, err := t.do(ctx, "", binary, "-w", "5", "-S", j.chain)
	if err != nil {
		return broken("read chain "+j.chain, err)
	}
	rules := rulesOf(text, j.chain)
	if !leads(rules, j.rule) {
		args := append([]string{binary, "-w", "5", "-I", j.chain, "1"}, strings.Fields(j.rule)...)
		if _, err := t.do(ctx, "", args...); err != nil {
			return broken("set a rule in chain "+j.chain, err)
		}
		rules = append([]string{j.rule}, rules...)
	}
	for _, at := range doubles(rules, j.rule) {
		if _, err := t.do(ctx, "", binary, "-w", "5", "-D", j.chain, strconv.Itoa(at)); err != nil {
			return broken("remove a doubled rule of chain "+j.chain, err)
		}
	}
	return nil
}

// checkForward reports a rule that accepts everything before Docker's chain, and with it ours, is asked.
func (t *tables) checkForward(ctx context.Context) error {
	text, err := t.do(ctx, "", t.prefix, "-w", "5", "-S", "FORWARD")
	if err != nil {
		return broken("read chain FORWARD", err)
	}
	for _, r := range rulesOf(text, "FORWARD") {
		switch {
		case r == "-j DOCKER-USER":
			return nil
		case r == "-j ACCEPT":
			return impossible("a rule of chain FORWARD accepts everything before Docker's own rules", nil)
		}
	}
	return impossible("chain FORWARD does not lead to DOCKER-USER", nil)
}

// six is the IPv6 command of the variant in use, "" where the host has no IPv6 or no such command.
// The networks have no IPv6 of their own; these rules are a second lock.
func (t *tables) six() string {
	if on, err := os.ReadFile("/proc/net/if_inet6"); err != nil || len(on) == 0 {
		return ""
	}
	six := strings.Replace(t.prefix, "iptables", "ip6tables", 1)
	if _, err := t.look(six); err != nil {
		return ""
	}
	return six
}

// remove takes rules and chains away, as far as they are there.
func (t *tables) remove(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.prefix == "" {
		return nil // none were set by this process
	}
	var errs []error
	drop := func(binary string, jumps []jump) {
		for _, j := range jumps {
			text, err := t.do(ctx, "", binary, "-w", "5", "-S", j.chain)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, r := range rulesOf(text, j.chain) {
				if r == j.rule {
					_, err := t.do(ctx, "", append([]string{binary, "-w", "5", "-D", j.chain}, strings.Fields(r)...)...)
					errs = append(errs, err)
				}
			}
		}
	}
	drop(t.prefix, t.fw.jumps())
	if six := t.six(); six != "" {
		drop(six, t.fw.jumps6())
	}
	for _, c := range []string{t.fw.forward, t.fw.input} {
		for _, flag := range []string{"-F", "-X"} {
			_, err := t.do(ctx, "", t.prefix, "-w", "5", flag, c)
			errs = append(errs, err)
		}
	}
	t.wrote, t.read = "", ""
	if err := errors.Join(errs...); err != nil {
		return broken("remove the rules", err)
	}
	return nil
}

// do runs an iptables command, through sudo when that is needed.
func (t *tables) do(ctx context.Context, stdin string, argv ...string) (string, error) {
	if !t.root {
		argv = append([]string{"sudo", "-n"}, argv...)
	}
	return t.run(ctx, stdin, argv...)
}

// impossible is the refusal to go without isolation, with what to do.
func impossible(why string, err error) error {
	return &provisioner.Error{Class: provisioner.Permanent, Op: opIsolate, Err: err,
		Sentence: why + ": sandboxes would reach the host and its private networks. " +
			"Let bothyd set firewall rules (run it as root, or allow it sudo without a password), or set network.isolation to off"}
}

// broken is a firewall command that failed.
func broken(what string, err error) error {
	return &provisioner.Error{Class: provisioner.Transient, Op: opIsolate, Sentence: what + ": " + err.Error(), Err: err}
}
