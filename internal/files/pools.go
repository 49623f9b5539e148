package files

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

// wantCount is what target, min, max and surge are to be.
var wantCount = fmt.Sprintf("a whole number from 0 to %d", fleet.MaxPoolCount)

var poolNameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

const (
	wantPoolName = `a name of up to 40 of a-z, 0-9 and "-", starting and ending with a letter or digit`
	wantTime     = `a time in quotes from "00:00" to "24:00"`
	// maxPoolNodes is room for some hundred pools.
	maxPoolNodes = 10_000
)

// weekdays in the order of time.Weekday.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// PoolFile is a file of pools that is read again when it has changed.
type PoolFile struct{ file *Fresh[[]fleet.Pool] }

// OpenPools names a file; it is read at the first Pools.
func OpenPools(path string) *PoolFile { return &PoolFile{NewFresh(path, nil, ParsePools)} }

// Pools gives what the file says now. A file that cannot be read, or is wrong, gives an error until it is mended.
func (f *PoolFile) Pools() ([]fleet.Pool, error) {
	pools, err := f.file.Get()
	if err != nil {
		return nil, fmt.Errorf("cannot read pools: %w", err)
	}
	return pools, nil
}

// ParsePools reads the text of the platform team's file of pools:
//
//	pools:
//	  - name: builders
//	    blueprint: build
//	    size: small
//	    target: 3
//	    min: 1
//	    max: 10
//	    surge: 2
//	    pause: true
//	    inputs:
//	      cache_mib: 512
//	    zone: Europe/Berlin
//	    schedule:
//	      - days: [mon, tue, wed, thu, fri]
//	        from: "07:00"
//	        until: "19:00"
//	        target: 10
//
// Name, blueprint and target are required; a max that is left out is what the greatest target and surge need. Times are of
// zone, UTC by default; the first entry of a schedule that holds wins, and one that does not end after it begins runs past
// midnight. Everything wrong is reported at once, by file, line and column: the error is a strictyaml.Errors. What a blueprint
// must be asked about is checked by the engine.
func ParsePools(file string, data []byte) ([]fleet.Pool, error) {
	doc, err := strictyaml.ParseUpTo(maxPoolNodes, file, data)
	if err != nil {
		return nil, err
	}
	f := doc.Root.Object("pools")
	doc.Root.Missing(f, "pools")
	var pools []fleet.Pool
	if list := f["pools"]; list != nil {
		seen := map[string]bool{}
		for _, item := range list.Items() {
			p := readPool(item)
			if p.Name != "" && seen[p.Name] {
				item.Fail("a second pool called "+p.Name, "each name once")
			}
			seen[p.Name] = true
			pools = append(pools, p)
		}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return pools, nil
}

func readPool(n *strictyaml.Node) fleet.Pool {
	var p fleet.Pool
	f := n.Object("name", "blueprint", "size", "inputs", "target", "schedule", "zone", "min", "max", "surge", "pause")
	n.Missing(f, "name", "blueprint", "target")
	if v := f["name"]; v != nil {
		p.Name, _ = v.Match(poolNameRE, wantPoolName)
	}
	p.Blueprint = poolText(f["blueprint"], "a blueprint, by name or name@version")
	p.Size = poolText(f["size"], "one of the blueprint's sizes")
	p.Target, p.Min, p.Max, p.Surge = count(f["target"]), count(f["min"]), count(f["max"]), count(f["surge"])
	if v := f["pause"]; v != nil {
		pause, ok := v.Value.(bool)
		if !ok {
			v.Want("true or false")
		}
		p.Pause = pause
	}
	if v := f["inputs"]; v != nil {
		p.Inputs = inputs(v)
	}
	targets := []target{{f["target"], p.Target}}
	if v := f["schedule"]; v != nil {
		for _, item := range v.Items() {
			s, at := entry(item)
			p.Schedule = append(p.Schedule, s)
			targets = append(targets, target{at, s.Target})
		}
	}
	if v := f["zone"]; v != nil {
		const want = "an IANA time zone, for example Europe/Berlin"
		zone := poolText(v, want)
		if zone != "" && fleet.CheckZone(zone) != nil {
			v.Want(want)
		}
		if len(p.Schedule) == 0 {
			v.Fail("a zone without a schedule", "both or neither")
		}
		p.SetZone(zone)
	}
	if f["max"] == nil {
		p.Max = p.DefaultMax()
	}
	bounds(f, p, targets)
	return p
}

// target is one of a pool's, and where it stands; nil when it is missing.
type target struct {
	at *strictyaml.Node
	n  int
}

// bounds checks what can be checked of the numbers without the blueprint. A maximum that is left out follows the targets.
func bounds(f map[string]*strictyaml.Node, p fleet.Pool, targets []target) {
	if f["max"] != nil && p.Min > p.Max {
		f["max"].Want("at least min, %d", p.Min)
		return
	}
	fine := true
	for _, t := range targets {
		switch {
		case t.at == nil:
			continue
		case t.n < p.Min:
			t.at.Want("at least min, %d", p.Min)
		case t.n > p.Max:
			t.at.Want("at most max, %d", p.Max)
		default:
			continue
		}
		fine = false
	}
	if fine && p.NeverRenewed() {
		f["min"].Want("less than max, %d: otherwise the pool could never replace its members", p.Max)
	}
}

// entry reads one of a schedule; the node is its target's.
func entry(n *strictyaml.Node) (fleet.ScheduledTarget, *strictyaml.Node) {
	var s fleet.ScheduledTarget
	f := n.Object("days", "from", "until", "target")
	n.Missing(f, "from", "until", "target")
	s.From, s.Until, s.Target = minute(f["from"]), minute(f["until"]), count(f["target"])
	if v := f["from"]; v != nil && s.From == 24*60 {
		v.Want(`a time in quotes from "00:00" to "23:59"`)
	}
	if v := f["days"]; v != nil {
		for _, item := range v.Items() {
			want := "one of " + strings.Join(weekdays, ", ")
			day := slices.Index(weekdays, poolText(item, want))
			if day < 0 {
				item.Want("%s", want)
				continue
			}
			s.Days = append(s.Days, time.Weekday(day))
		}
	}
	return s, f["target"]
}

func poolText(n *strictyaml.Node, want string) string {
	if n == nil {
		return ""
	}
	v, ok := n.Str(want)
	if ok && v == "" {
		n.Want("%s", want)
	}
	return v
}

func count(n *strictyaml.Node) int {
	if n == nil {
		return 0
	}
	v, ok := n.Int(wantCount)
	if ok && (v < 0 || v > fleet.MaxPoolCount) {
		n.Want("%s", wantCount)
		return 0
	}
	return int(v)
}

// timeRE lets 24:00 stand for the end of a day.
var timeRE = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

func minute(n *strictyaml.Node) int {
	if n == nil {
		return 0
	}
	v, ok := n.Str(wantTime)
	switch {
	case !ok:
		return 0
	case v == "24:00":
		return 24 * 60
	case !timeRE.MatchString(v):
		n.Want(wantTime)
		return 0
	}
	digit := func(i int) int { return int(v[i] - '0') }
	return (digit(0)*10+digit(1))*60 + digit(3)*10 + digit(4)
}

func inputs(n *strictyaml.Node) map[string]any {
	given := map[string]any{}
	for _, field := range n.Fields() {
		if v, ok := field.Value.Scalar("a string, a number, true or false"); ok {
			given[field.Key] = v
		}
	}
	return given
}
