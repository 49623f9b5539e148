package firewall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
)

const wantRules = `*mangle
:BOTHY-2d711642-PRE - [0:0]
:BOTHY-2d711642 - [0:0]
:BOTHY-2d711642-IN - [0:0]
:BOTHY-2d711642-TO - [0:0]
-A BOTHY-2d711642-PRE -m rpfilter --invert -j DROP
-A BOTHY-2d711642-PRE -m conntrack --ctstate NEW ! --ctstatus CONFIRMED -m hashlimit --hashlimit-above 50/sec --hashlimit-burst 4096 --hashlimit-mode srcip --hashlimit-srcmask 28 --hashlimit-name bothy-2d711642 -j DROP
-A BOTHY-2d711642-PRE -m conntrack --ctstate NEW ! --ctstatus CONFIRMED -m connlimit --connlimit-above 4096 --connlimit-mask 28 --connlimit-saddr -j DROP
-A BOTHY-2d711642 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A BOTHY-2d711642-IN -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN
-A BOTHY-2d711642-TO -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN
-A BOTHY-2d711642 -d 169.254.169.254/32 -p udp -m udp --dport 53 -j RETURN
-A BOTHY-2d711642 -d 169.254.169.254/32 -p tcp -m tcp --dport 53 -j RETURN
-A BOTHY-2d711642-IN -d 169.254.169.254/32 -p udp -m udp --dport 53 -j RETURN
-A BOTHY-2d711642-IN -d 169.254.169.254/32 -p tcp -m tcp --dport 53 -j RETURN
-A BOTHY-2d711642 -d 169.254.0.0/16 -j DROP
-A BOTHY-2d711642 -d 100.100.100.200/32 -j DROP
-A BOTHY-2d711642 -d 168.63.129.16/32 -j DROP
-A BOTHY-2d711642 -d 192.0.0.0/24 -j DROP
-A BOTHY-2d711642 -d 8.8.0.0/16 -j DROP
-A BOTHY-2d711642 -d 10.1.0.0/16 -j RETURN
-A BOTHY-2d711642 -d 0.0.0.0/8 -j DROP
-A BOTHY-2d711642 -d 10.0.0.0/8 -j DROP
-A BOTHY-2d711642 -d 100.64.0.0/10 -j DROP
-A BOTHY-2d711642 -d 127.0.0.0/8 -j DROP
-A BOTHY-2d711642 -d 172.16.0.0/12 -j DROP
-A BOTHY-2d711642 -d 192.168.0.0/16 -j DROP
-A BOTHY-2d711642 -d 198.18.0.0/15 -j DROP
-A BOTHY-2d711642 -d 224.0.0.0/4 -j DROP
-A BOTHY-2d711642 -d 240.0.0.0/4 -j DROP
-A BOTHY-2d711642-IN -j DROP
-A BOTHY-2d711642-TO -j DROP
COMMIT
`

// TestRulesGolden: a metadata address that is also the resolver (as on some clouds) is open for names alone.
func TestRulesGolden(t *testing.T) {
	fw := NamesOf("x")
	got := fw.restore([]netip.Addr{netip.MustParseAddr("169.254.169.254")}, prefixes("8.8.0.0/16")[0], prefixes("10.1.2.3/16"), false)
	if diff := cmp.Diff(wantRules, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if got := fw.Bridge(4095); len(got) > 15 || !strings.HasPrefix(got, strings.TrimSuffix(fw.Bridges, "+")) {
		t.Errorf("bridge %q does not fit the kernel or the rules' %q", got, fw.Bridges)
	}
}

// TestWithoutDockersChains: an engine that keeps its rules elsewhere is isolated all the same.
func TestWithoutDockersChains(t *testing.T) {
	h := newHost("iptables")
	delete(h.chains, "iptables filter DOCKER-USER")
	if err := simulated(h, true).Assert(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMoveToFront(t *testing.T) {
	j := NamesOf("x").jumps()[0]
	other := NamesOf("y").jumps()[0].rule
	set := "-I FORWARD 1 " + j.rule + "\n"
	drop := "-D FORWARD " + j.rule + "\n"
	for name, c := range map[string]struct {
		rules []string
		want  string
	}{
		"first":                   {[]string{j.rule, "-j RETURN"}, ""},
		"after another bothy's":   {[]string{other, j.rule, "-j RETURN"}, ""},
		"after the way in":        {[]string{"-o by2d711642+ -j BOTHY-2d711642-TO", "-o by2d711642+ -j DROP", j.rule}, ""},
		"missing":                 {[]string{"-j RETURN"}, set},
		"empty chain":             {nil, set},
		"behind a return":         {[]string{"-j RETURN", j.rule}, drop + set},
		"behind an accept":        {[]string{other, "-s 10.0.0.1/32 -j ACCEPT", j.rule}, drop + set},
		"own bridges let by":      {[]string{strings.Replace(j.rule, "BOTHY-2d711642", "ACCEPT", 1), j.rule}, drop + set},
		"doubled":                 {[]string{j.rule, "-j RETURN", j.rule}, drop + drop + set},
		"only another's is there": {[]string{other}, set},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if want != "" {
				want = "*mangle\n" + want + "COMMIT\n"
			}
			if diff := cmp.Diff(want, moveToFront(c.rules, j)); diff != "" {
				t.Errorf("change (-want +got):\n%s", diff)
			}
		})
	}
}

// host is a simulated firewall: chains of rules, by binary.
type host struct {
	chains   map[string][]string // "iptables mangle FORWARD" -> rules
	binaries []string
	fail     string // a command line that holds it fails
	lacks    string // a match that this kernel has not
	none     bool   // there is no connection to forget
	mute     bool   // nothing can be read once something was written
	legacy   bool   // the kernel has tables of iptables-legacy
	calls    []string
}

func newHost(binary string) *host {
	return &host{binaries: []string{binary, "sudo"}, chains: map[string][]string{
		binary + " filter DOCKER-USER": {"-j RETURN"},
		binary + " mangle FORWARD":     {"-j ACCEPT"},
		binary + " mangle INPUT":       {},
		binary + " mangle PREROUTING":  {},
	}}
}

func (h *host) look(b string) (string, error) {
	if !slices.Contains(append(h.binaries, "true"), strings.TrimSuffix(b, "-restore")) {
		return "", errors.New("not found")
	}
	return "/host/" + b, nil
}

func (h *host) run(_ context.Context, stdin string, argv ...string) (string, error) {
	for i, arg := range argv { // a program is run by the path that look gave
		argv[i] = strings.TrimPrefix(arg, "/host/")
		if program := i == 0 || argv[0] == "sudo" && i == 2; program == (argv[i] == arg) {
			return "", fmt.Errorf("%q is run: a program that was not looked up", argv)
		}
	}
	line := strings.Join(argv, " ")
	h.calls = append(h.calls, line)
	if h.fail != "" && strings.Contains(line, h.fail) {
		return "", errors.New("refused")
	}
	if argv[0] == "sudo" {
		if argv = argv[2:]; argv[0] == "true" {
			return "", nil
		}
	}
	if binary, ok := strings.CutSuffix(argv[0], "-restore"); ok {
		if h.lacks != "" && strings.Contains(stdin, "-m "+h.lacks+" ") {
			return "", errors.New("couldn't load match " + h.lacks)
		}
		return "", h.restore(binary, stdin)
	}
	if argv[0] == "conntrack" && h.none {
		return "", errors.New("conntrack: exit status 1: conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.")
	}
	if argv[3] != "-t" || argv[5] != "-S" {
		return "", fmt.Errorf("no such command: %s", line)
	}
	var out strings.Builder
	found := false
	for _, key := range slices.Sorted(maps.Keys(h.chains)) {
		chain, ok := strings.CutPrefix(key, argv[0]+" "+argv[4]+" ")
		if !ok || len(argv) > 6 && chain != argv[6] {
			continue
		}
		found = true
		if !slices.Contains([]string{"FORWARD", "INPUT", "PREROUTING"}, chain) {
			fmt.Fprintf(&out, "-N %s\n", chain)
		}
		for _, r := range h.chains[key] {
			fmt.Fprintf(&out, "-A %s %s\n", chain, r)
		}
	}
	if !found || h.mute && slices.ContainsFunc(h.calls, func(c string) bool { return strings.Contains(c, "-restore") }) {
		return "", fmt.Errorf("no such chain: %s", line)
	}
	return out.String(), nil
}

func (h *host) restore(binary, text string) error {
	table := ""
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		key := ""
		if len(f) > 1 {
			key = binary + " " + table + " " + f[1]
		}
		switch {
		case f[0][0] == '*':
			table = f[0][1:]
		case f[0][0] == ':':
			h.chains[binary+" "+table+" "+f[0][1:]] = nil
		case f[0] == "-A":
			h.chains[key] = append(h.chains[key], f[2])
		case f[0] == "-I":
			h.chains[key] = append([]string{strings.TrimPrefix(f[2], "1 ")}, h.chains[key]...)
		case f[0] == "-D":
			at := slices.Index(h.chains[key], f[2])
			if at < 0 {
				return errors.New("no such rule")
			}
			h.chains[key] = slices.Delete(h.chains[key], at, at+1)
		}
	}
	return nil
}

// TestAssertPlain: a kernel that cannot look a source up, or count, is isolated all the same; what it lacks is known.
func TestAssertPlain(t *testing.T) {
	for _, match := range []string{"rpfilter", "connlimit", "hashlimit"} {
		h := newHost("iptables")
		h.lacks = match
		tb := simulated(h, true)
		for range 2 {
			if err := tb.Assert(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tb.lacks == nil || !strings.Contains(tb.lacks.Error(), match) {
				t.Errorf("without %s: lacks %v", match, tb.lacks)
			}
		}
		if diff := cmp.Diff([]string{"! -s 8.8.0.0/16 -j DROP"}, h.chains["iptables mangle "+tb.Names.Source]); diff != "" {
			t.Errorf("sources (-want +got):\n%s", diff)
		}
		if got := len(h.chains["iptables mangle "+tb.Names.Forward]); got != strings.Count(wantRules, "-A BOTHY-2d711642 ")-3 {
			t.Errorf("%d rules", got)
		}
	}
}

func simulated(h *host, root bool) *Tables {
	return &Tables{Names: NamesOf("x"), pool: prefixes("8.8.0.0/16")[0], dns: func() []netip.Addr { return nil }, run: h.run, look: h.look, legacy: func() bool { return h.legacy }, root: root}
}

// TestAssert: in whatever variant Docker's chains are, rules end up whole and in front, and a second look changes nothing.
func TestAssert(t *testing.T) {
	for _, binary := range []string{"iptables", "iptables-legacy", "iptables-nft"} {
		for _, root := range []bool{true, false} {
			h := newHost(binary)
			h.binaries = append(h.binaries, "iptables") // there, and works, but perhaps without Docker's chains
			h.legacy = binary == "iptables-legacy"
			h.chains["iptables mangle FORWARD"] = []string{"-j ACCEPT"}
			tb := simulated(h, root)
			if err := tb.Assert(t.Context()); err != nil {
				t.Fatalf("%s: %v", binary, err)
			}
			for _, j := range tb.Names.jumps() {
				if got := h.chains[binary+" mangle "+j.chain]; !leads(got, j.rule) {
					t.Errorf("%s: chain %s does not begin with our jumps: %v", binary, j.chain, got)
				}
			}
			if got := len(h.chains[binary+" mangle "+tb.Names.Forward]); got != strings.Count(wantRules, "-A BOTHY-2d711642 ")-3 {
				t.Errorf("%s: %d rules", binary, got)
			}
			h.calls = nil
			if err := tb.Assert(t.Context()); err != nil {
				t.Fatalf("%s: %v", binary, err)
			}
			if len(h.calls) != 1 { // each is a process, twice a minute for as long as the daemon runs
				t.Errorf("%s: a second look takes %d commands: %q", binary, len(h.calls), h.calls)
			}
			for _, c := range h.calls {
				if strings.Contains(c, "-restore") {
					t.Errorf("%s: a second look writes: %s", binary, c)
				}
				if !root && !strings.HasPrefix(c, "sudo -n ") {
					t.Errorf("%s: without root, not through sudo: %s", binary, c)
				}
			}
		}
	}
}

// TestAssertFails: what cannot be set is class Permanent and says what to do; what failed this time is Transient.
func TestAssertFails(t *testing.T) {
	for name, c := range map[string]struct {
		root  bool
		spoil func(*host)
		class provisioner.Class
		say   string
	}{
		"no sudo":            {false, func(h *host) { h.binaries = []string{"iptables"} }, provisioner.Permanent, "no sudo"},
		"sudo asks":          {false, func(h *host) { h.fail = "sudo -n true" }, provisioner.Permanent, "password"},
		"no iptables":        {true, func(h *host) { h.binaries = nil }, provisioner.Permanent, "not installed: it was looked for in " + hostPath},
		"not readable":       {true, func(h *host) { h.chains = nil }, provisioner.Permanent, "cannot be read"},
		"write fails":        {true, func(h *host) { h.fail = "-restore" }, provisioner.Transient, "set the rules"},
		"mute after a write": {true, func(h *host) { h.mute = true }, provisioner.Transient, "read the rules back"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost("iptables")
			c.spoil(h)
			err := simulated(h, c.root).Assert(t.Context())
			if provisioner.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %q, %v; want %q that says %q", provisioner.ClassOf(err), err, c.class, c.say)
			}
		})
	}
}

// TestProgramsAreFoundWithoutPATH: an ordinary user's PATH has no sbin on Debian, and that of cron less; programs are looked up
// where they are run.
func TestProgramsAreFoundWithoutPATH(t *testing.T) {
	dir := t.TempDir()
	sbin := filepath.Join(dir, "sbin")
	if err := errors.Join(os.Mkdir(sbin, 0o700), os.WriteFile(filepath.Join(sbin, "tool"), []byte("#!/bin/sh\n"), 0o700)); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", "/nowhere")
	if got, err := programIn(dir+":"+sbin, "tool"); got != filepath.Join(sbin, "tool") || err != nil {
		t.Errorf("found %q, %v", got, err)
	}
	if _, err := programIn(dir+":"+sbin, "other"); err == nil || !strings.Contains(err.Error(), dir+":"+sbin) {
		t.Errorf("what is missing: %v, want where it was looked for", err)
	}
	sh, err := hostProgram("sh")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := runHost(t.Context(), "", sh, "-c", "echo $PATH"); strings.TrimSpace(said) != hostPath || err != nil {
		t.Errorf("a program runs with PATH %q, %v; want %q", said, err, hostPath)
	}
}

// TestLegacyTablesAreNotMade: where Docker uses nftables no variant has its chains, and the kernel gets no legacy tables from a look.
func TestLegacyTablesAreNotMade(t *testing.T) {
	h := newHost("iptables")
	h.binaries = append(h.binaries, "iptables-legacy", "iptables-nft")
	delete(h.chains, "iptables filter DOCKER-USER")
	if err := simulated(h, true).Assert(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range h.calls {
		if strings.HasPrefix(c, "iptables-legacy") {
			t.Errorf("%s makes tables on the host", c)
		}
	}
	// Where it is the only one it is the host's firewall.
	h = newHost("iptables-legacy")
	if err := simulated(h, true).Assert(t.Context()); err != nil {
		t.Errorf("with iptables-legacy alone: %v", err)
	}
}

func TestLegacyModules(t *testing.T) {
	for list, want := range map[string]bool{"": false, "nf_tables 1 2 - Live 0x0\n": false, "ip_tables 1 0 - Live 0x0\n": false, "iptable_filter 1 0 - Live 0x0\n": true} {
		file := filepath.Join(t.TempDir(), "modules")
		if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := legacyModules(file); got != want {
			t.Errorf("%q: %v, want %v", list, got, want)
		}
	}
	if !legacyModules(filepath.Join(t.TempDir(), "none")) {
		t.Error("a kernel that does not tell may have tables")
	}
}

// TestFlushBySudo: without root the command conntrack does it, all four sides; without the command either it is known that
// nothing is forgotten.
func TestFlushBySudo(t *testing.T) {
	of := netip.MustParsePrefix("172.30.0.16/28")
	h := newHost("iptables")
	tb := simulated(h, false)
	if err := tb.Flush(t.Context(), of); !errors.Is(err, ErrFlowsStay) || tb.CanFlush() == nil {
		t.Errorf("got %v without the command, want ErrFlowsStay", err)
	}
	h.binaries = append(h.binaries, "conntrack")
	h.none = true
	if err := tb.Flush(t.Context(), of); err != nil || tb.CanFlush() != nil {
		t.Errorf("got %v when there was nothing to forget", err)
	}
	for _, side := range []string{"--orig-src", "--orig-dst", "--reply-src", "--reply-dst"} {
		if !slices.Contains(h.calls, "sudo -n conntrack -D "+side+" 172.30.0.16/28") {
			t.Errorf("%s is not among %q", side, h.calls)
		}
	}
	h.fail = "conntrack -D --reply-src"
	if err := tb.Flush(t.Context(), of); err == nil {
		t.Error("a command that failed was taken for success")
	}
}
