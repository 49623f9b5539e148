//go:build linux

package isolation_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// least is how many probes must have reached something in their control, or the suite proves too little.
const least = 60

// mostDropped is how many controls of the network may get no answer for a minute, and count apart: an engine that makes networks for
// others takes its rules for forwarding away meanwhile, and two runs on one machine share its private addresses.
const mostDropped = 4

// persistence is how long what must succeed is tried: while somebody makes networks, the engine takes its rules out of the
// way of forwarded packets, which are dropped then.
const persistence = time.Minute

// outcome is what became of one probe.
type outcome struct {
	probe
	// control is what the probe said in its control; apart says why this machine has none.
	control, apart string
	// reached are what it got at in the sandbox.
	reached []string
}

// TestSandboxReachesNothing makes every probe twice: in a control container with a hole made for it, where it must reach
// what it looks for, and in a leased sandbox of the built-in blueprint, where it must not, neither as dev nor as root.
func TestSandboxReachesNothing(t *testing.T) {
	needsEngine(t)
	begun := time.Now()
	d, e := start(t), start(t)
	d.answers()
	e.answers()
	var mine, same, other sandbox
	secret := "bothy-secret-" + token()
	together(
		func() { mine = d.up("mine") },
		func() { same = d.up("same") },
		func() { other = e.up("other", "--secret", secret+"=-") },
	)
	if t.Failed() || mine.name == "" || same.name == "" || other.name == "" {
		t.FailNow()
	}
	ears := []func() string{same.listen("8080").String, other.listen("8080").String}
	w := newWorld(t, mine, same, other)
	w.ears = append(w.ears, ears...)
	w.names["secret file"] = secret
	t.Logf("two daemons, three sandboxes and what there is to reach stand after %.0f s", time.Since(begun).Seconds())

	d.bothy("", "exec", mine.name, "-u", "root", "--", "install", "-m", "4755", inside, setuidCopy).want(t, 0)
	all := make([]*outcome, 0, len(probes()))
	for _, p := range probes() {
		all = append(all, &outcome{probe: p})
	}
	dug(t, w, all)
	t.Logf("the controls are done after %.0f s", time.Since(begun).Seconds())
	tries(t, w, mine, all)
	if w.lacks["lan "+internet] == "" {
		open(t, mine)
	}
	beside(t, w, mine, all)
	judge(t, all)
	t.Logf("all is done after %.0f s", time.Since(begun).Seconds())
}

// open proves that a sandbox has a way out: what is closed is closed by its address.
func open(t *testing.T, s sandbox) {
	var said []string
	var err error
	for begun := time.Now(); time.Since(begun) < persistence; {
		if said, err = s.try("dev", "/", []string{"tcp " + internet + ":80"}); err == nil && strings.HasPrefix(said[0], "reached") {
			return
		}
	}
	t.Errorf("a sandbox does not reach the internet, so that it reaches nothing else proves nothing: %v %v", said, err)
}

func together(work ...func()) {
	var wg sync.WaitGroup
	for _, f := range work {
		wg.Go(f)
	}
	wg.Wait()
}

// dug makes each probe where it must succeed.
func dug(t *testing.T, w *world, all []*outcome) {
	boxes, closed := map[string]box{}, map[string]string{}
	var mu sync.Mutex
	slots := make(chan struct{}, 3) // the engine makes one network interface at a time
	var wg sync.WaitGroup
	for _, h := range holes {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			b, why, err := w.dig(h)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				why = "this machine has no such hole: " + err.Error()
			}
			boxes[h.name], closed[h.name] = b, why
		})
	}
	wg.Wait()
	groups := map[[3]string][]*outcome{}
	for _, o := range all {
		if why, ok := closed[o.hole]; !ok {
			t.Errorf("%s: there is no hole %q", o.name, o.hole)
		} else if why != "" {
			o.apart = why
		}
		_, why := w.fill(o.try + o.controlTry)
		if why != "" {
			o.apart = why
		}
		if o.apart == "" {
			user, dir := o.controlUser, o.controlDir
			if user == "" {
				user = "0"
			}
			if dir == "" {
				dir = "/"
			}
			key := [3]string{o.hole, user, dir}
			groups[key] = append(groups[key], o)
		}
	}
	for key, group := range groups {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			control(t, w, boxes[key[0]], key[1], key[2], group)
		})
	}
	wg.Wait()
}

// dig makes the control container of a hole; why is not empty when the machine has not what it opens.
func (w *world) dig(h hole) (b box, why string, err error) {
	filled := hole{name: h.name}
	for _, arg := range h.args {
		text, why := w.fill(arg)
		if why != "" {
			return box{}, why, nil
		}
		filled.args = append(filled.args, text)
	}
	b, err = dig(w.t, w.label, filled)
	if err == nil {
		_, err = command("docker", "exec", "-u", "0", b.id, "install", "-m", "4755", inside, setuidCopy)
	}
	return b, "", err
}

// control makes probes in a control container, again where one has not succeeded: a busy machine may need more tries.
func control(t *testing.T, w *world, b box, user, dir string, group []*outcome) {
	left := group
	for begun := time.Now(); len(left) > 0 && time.Since(begun) < persistence; {
		lines, texts := make([]string, len(left)), make([]string, len(left))
		for i, o := range left {
			lines[i], texts[i] = w.attempt(cmp.Or(o.controlTry, o.try))
		}
		said, err := b.try(user, dir, lines)
		if err != nil {
			t.Errorf("hole %q: %v", group[0].hole, err)
			return
		}
		for i, o := range left {
			o.control = w.arrived(said[i], texts[i])
		}
		left = slices.DeleteFunc(slices.Clone(left), func(o *outcome) bool { return !strings.HasPrefix(o.control, "refused") })
	}
	for _, o := range group {
		if strings.HasPrefix(o.control, "absent") {
			o.apart = "this machine has it not: " + o.control
		}
	}
}

// tries makes each probe in the sandbox, by its owner's own means.
func tries(t *testing.T, w *world, s sandbox, all []*outcome) {
	for _, user := range []string{"dev", "root"} {
		groups := map[string][]*outcome{}
		for _, o := range all {
			if o.users != nil && !slices.Contains(o.users, user) {
				continue
			}
			dirs := o.dirs
			if dirs == nil {
				dirs = []string{""}
			}
			for _, dir := range dirs {
				groups[dir] = append(groups[dir], o)
			}
		}
		for dir, group := range groups {
			try(t, w, strings.TrimSpace("as "+user+" "+dir), dir != "", group, func(lines []string) ([]string, error) {
				return s.try(user, cmp.Or(dir, "/workspace"), lines)
			})
		}
	}
}

// beside makes the probes of the network once more, in a container that joins the sandbox's network with the engine's usual
// capabilities: the network holds by itself, whatever somebody inside may come to.
func beside(t *testing.T, w *world, s sandbox, all []*outcome) {
	b, err := dig(t, w.label, hole{name: "beside", args: []string{"--network", "container:" + s.holder}})
	if err != nil {
		t.Fatal(err)
	}
	var group []*outcome
	for _, o := range all {
		if slices.Contains(ofTheNetwork, o.kind) {
			group = append(group, o)
		}
	}
	try(t, w, "beside", false, group, func(lines []string) ([]string, error) { return b.try("0", "/", lines) })
}

// ofTheNetwork are the kinds that the network alone must withstand.
var ofTheNetwork = []string{"host", "sandboxes", "private networks", "metadata", "forged packets"}

// try makes probes in one place. mayFail says that the place itself may be refused.
func try(t *testing.T, w *world, where string, mayFail bool, group []*outcome, do func(lines []string) ([]string, error)) {
	var lines, texts []string
	var tried []*outcome
	for _, o := range group {
		if _, why := w.fill(o.try); why != "" {
			continue
		}
		line, text := w.attempt(o.try)
		lines, texts, tried = append(lines, line), append(texts, text), append(tried, o)
	}
	said, err := do(lines)
	if err != nil {
		if !mayFail {
			t.Errorf("%s: %v", where, err)
		}
		return
	}
	for i, o := range tried {
		answer := w.arrived(said[i], texts[i])
		switch word, _, _ := strings.Cut(strings.ReplaceAll(answer, ":", " "), " "); word {
		case "reached":
			o.reached = append(o.reached, where+": "+answer)
		case "refused", "absent":
		default:
			t.Errorf("%s: %s: %s the probe said %q", o.kind, o.name, where, answer)
		}
	}
}

// judge reports every probe that reached something or has no control, and prints what the closing figures are.
func judge(t *testing.T, all []*outcome) {
	type sum struct{ probes, controls, apart, reached int }
	sums, total, dropped := map[string]sum{}, sum{}, 0
	for _, o := range all {
		s := sums[o.kind]
		s.probes++
		switch {
		case o.apart != "":
			s.apart++
			t.Logf("apart: %s: %s: %s", o.kind, o.name, o.apart)
		case strings.HasPrefix(o.control, "reached"):
			s.controls++
		case strings.Contains(o.control, "i/o timeout") && dropped < mostDropped:
			dropped++
			s.apart++
			t.Logf("apart: %s: %s: its control had no answer for a minute: %s", o.kind, o.name, o.control)
		default:
			t.Errorf("%s: %s: with the hole %q it must reach what it looks for, and said %q", o.kind, o.name, o.hole, o.control)
		}
		if len(o.reached) > 0 {
			s.reached++
			t.Errorf("REACHED %s: %s: %s", o.kind, o.name, strings.Join(o.reached, "; "))
		}
		sums[o.kind] = s
	}
	var table strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		s := sums[kind]
		total = sum{total.probes + s.probes, total.controls + s.controls, total.apart + s.apart, total.reached + s.reached}
		fmt.Fprintf(&table, "%-20s %4d %4d %4d %4d\n", kind, s.probes, s.controls, s.apart, s.reached)
	}
	t.Logf("\n%-20s %s\n%s%-20s %4d %4d %4d %4d", "kind", "probes, with a control that succeeds, apart, reached", &table, "all", total.probes, total.controls, total.apart, total.reached)
	if total.controls < least {
		t.Errorf("%d probes have a control that succeeds, want at least %d", total.controls, least)
	}
}
