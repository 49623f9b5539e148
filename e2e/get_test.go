package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// firewallOf gives the iptables that has an installation's chains, and the name of the one for what sandboxes send.
func firewallOf(t *testing.T, instance string) (binary, chain string) {
	t.Helper()
	sum := sha256.Sum256([]byte(instance))
	chain = "BOTHY-" + hex.EncodeToString(sum[:])[:8]
	for _, binary := range []string{"iptables", "iptables-legacy", "iptables-nft"} {
		if out, err := exec.Command(binary, "-w", "5", "-t", "mangle", "-S", chain).CombinedOutput(); err == nil && len(out) > 0 {
			return binary, chain
		}
	}
	t.Fatalf("no iptables here has the chain %s", chain)
	return "", ""
}

// jumps gives the rules of the host that lead to a chain.
func jumps(t *testing.T, binary, chain string) (rules []string) {
	t.Helper()
	out, err := exec.Command(binary, "-w", "5", "-t", "mangle", "-S", "FORWARD").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasSuffix(strings.TrimSpace(line), "-j "+chain) {
			rules = append(rules, strings.TrimSpace(line))
		}
	}
	return rules
}

// TestAThousandQuestionsChangeNothing: readyz and doctor read what the daemon found by itself. A thousand of them make no more calls to
// the engine than it makes anyway, and put no rule of the firewall back: that is for its sweeps.
func TestAThousandQuestionsChangeNothing(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	p := newProxy(t)
	var calls atomic.Int64
	p.sees = func(request []byte) { calls.Add(int64(bytes.Count(request, []byte(" HTTP/1.1\r\n")))) }
	began := time.Now()
	d := p.start("--timing-sweep", "10m")
	d.eventually("everything was looked at, and is well", func() bool {
		health, err := d.client.Health(t.Context())
		return err == nil && health.Ready
	})
	binary, chain := firewallOf(t, d.instance)
	there := jumps(t, binary, chain)
	if len(there) != 1 {
		t.Fatalf("the rules that lead to %s are %q, want one", chain, there)
	}
	rule := strings.Fields(strings.Replace(there[0], "-A ", "-D ", 1))
	if out, err := exec.Command(binary, append([]string{"-w", "5", "-t", "mangle"}, rule...)...).CombinedOutput(); err != nil {
		t.Fatalf("take the rule away: %v: %s", err, out)
	}
	before, asking := calls.Load(), time.Now()
	for range 500 {
		if _, err := d.client.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := d.client.Doctor(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(asking)
	// Probers and spare networks go on meanwhile.
	if more := calls.Load() - before; more > 100+int64(2*took.Seconds()) {
		t.Errorf("1000 questions in %s made %d calls to the engine", took.Round(time.Millisecond), more)
	}
	if back := jumps(t, binary, chain); len(back) > 0 && time.Since(began) < 50*time.Second { // then the prober looks by itself
		t.Errorf("asking has put the rule back: %q", back)
	}
	t.Logf("1000 questions took %s and %d calls to the engine", took.Round(time.Millisecond), calls.Load()-before)
}
