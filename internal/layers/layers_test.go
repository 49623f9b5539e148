// Package layers_test keeps who may import whom, over the whole import graph: the linter
// sees only the imports of a file, this sees what they lead to.
package layers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/e2e/rig"
)

const module = "github.com/bothy-env/bothy"

// room is a folder and all below it, with what it may import beyond itself.
type room struct {
	name string
	// may lists folders of this module that it may import directly; nil means any.
	may []string
	// stdlib says that nothing from other modules may be imported, even through others.
	stdlib bool
	// never lists what it may not import directly; a name covers what is below it.
	never []string
	// reach lists what it may not lead to, however far, but for the folders that may names one by one.
	reach []string
	// why is the reason, for whoever meets the ban.
	why string
}

var (
	impure     = []string{"context", "os", "net", "database/sql", "math/rand", "crypto/rand"}
	dockerSDK  = []string{"github.com/docker/docker", "github.com/moby/moby"}
	awsSDK     = []string{"github.com/aws/aws-sdk-go-v2"}
	drivers    = []string{"provisioner/terraform", "provisioner/docker", "provisioner/aws", "provisioner/fake"}
	nowhere    = []string{}
	everything []string
	// core is what every room may import.
	core = []string{"internal/fleet", "internal/plan", "internal/quota", "internal/ledger", "internal/receipt", "internal/store", "provisioner"}
)

var rooms = append(storeRooms, []room{
	{name: "internal/fleet", may: nowhere, stdlib: true, why: "the domain's nouns depend on nothing, so that everything may depend on them"},
	{name: "internal/failpoint", may: nowhere, stdlib: true, why: "a point may stand anywhere, so it depends on nothing"},
	{name: "internal/sparsetar", may: nowhere, stdlib: true, why: "both ends of a copy write its headers, a driver the one and the command line the other, so it depends on nothing"},
	{name: "internal/receipt", may: nowhere, stdlib: true, never: impure, why: "a receipt is verified offline, by whoever holds it"},
	{name: "provisioner", may: nowhere, stdlib: true, why: "the contracts are what others implement; they know neither the domain nor an SDK"},

	{name: "internal/plan", may: []string{"internal/fleet"}, stdlib: true, never: impure, why: "decisions are pure: the same snapshot gives the same plan"},
	{name: "internal/quota", may: []string{"internal/fleet"}, stdlib: true, never: impure, why: "admission is pure: the same usage gives the same answer"},
	{name: "internal/ledger", may: []string{"internal/fleet"}, stdlib: true, never: impure, why: "money is pure: replaying the entries gives the same sum"},

	{name: "provisioner/terraform", may: []string{"provisioner"}, reach: append([]string{module + "/internal"}, append(dockerSDK, awsSDK...)...), why: "a driver knows nothing of leases, money or other drivers' SDKs"},
	// sparsetar is a format of files and no part of the domain: the one leaf that a driver shares with the command line.
	{name: "provisioner/docker", may: []string{"provisioner", "internal/sparsetar"}, reach: append([]string{module + "/internal"}, awsSDK...), why: "a driver knows nothing of leases, money or other drivers' SDKs"},
	{name: "provisioner/docker/dockertest", may: []string{"provisioner", "provisioner/docker"}, reach: awsSDK, why: "the harness of the tests makes the whole Runtime, and no room knows of it"},
	{name: "provisioner/aws", may: []string{"provisioner"}, reach: append([]string{module + "/internal"}, dockerSDK...), why: "a driver knows nothing of leases, money or other drivers' SDKs"},
	{name: "provisioner/fake", may: []string{"provisioner"}, stdlib: true, why: "the fake stands for every driver, so it leans on none"},
	{name: "provisioner/provisionertest", may: []string{"provisioner"}, reach: append([]string{module + "/internal"}, append(dockerSDK, awsSDK...)...), why: "one suite serves every driver, so it leans on none"},

	{name: "internal/engine", may: nowhere, why: "it has rooms and nothing of its own; internal/daemon wires them"},
	{name: "internal/service", may: append(append(slices.Clone(core), leaves...), inside("internal/engine", "acquire", "pools", "recovery", "sweep")...), reach: append(dockerSDK, awsSDK...), why: "a use case declares what it needs of rooms, and imports those whose types it passes on"},

	{name: "internal/files", may: []string{"internal/config", "internal/fleet", "internal/strictyaml"}, why: "a reader of files knows what they say, and nobody who acts on it"},
	{name: "internal/auth", may: []string{"internal/fleet", "internal/files", "internal/strictyaml"}, why: "who may do what is said by files and nothing else"},
	{name: "internal/api", may: []string{"internal/auth", "internal/service", "internal/fleet", "internal/ledger", "provisioner"}, reach: append(dockerSDK, awsSDK...), why: "routes call use cases, never a room of the engine or the store"},
	{name: "internal/api/wire", may: nowhere, reach: []string{module + "/internal/engine", module + "/internal/service", module + "/internal/store"}, why: "wire types are what clients compile in: no daemon behind them"},
	{name: "internal/client", may: []string{"internal/api/wire"}, why: "a client knows the wire and nothing behind it"},
	{name: "internal/delivery", may: nowhere, stdlib: true, never: append([]string{"os/exec", "net"}, impure...), why: "how a project is built is decided here and run elsewhere"},
	{name: "internal/cli", may: []string{"internal/blueprint", "internal/client", "internal/config", "internal/delivery/project", "internal/receipt", "internal/sparsetar", "internal/spec", "internal/api/wire"}, reach: append([]string{module + "/internal/engine", module + "/internal/service", module + "/internal/store", module + "/provisioner"}, append(dockerSDK, awsSDK...)...), why: "the command line speaks to the daemon, never in its place"},

	{name: "internal", may: everything, never: inModule(drivers), reach: append(dockerSDK, awsSDK...), why: "cmd alone names concrete drivers"},
}...)

// anyDriver is the rule of a driver that has none above, named after its folder.
var anyDriver = room{may: []string{"provisioner"}, reach: append([]string{module + "/internal"}, append(dockerSDK, awsSDK...)...), why: "a driver knows nothing of leases, money or other drivers' SDKs"}

// leaves are the rooms of the engine that all others may import.
var leaves = inside("internal/engine", "bus", "clock", "doctor", "evidence", "guard", "journal", "target")

// anyEngineRoom is the rule of each room of the engine, leaves included, named after its folder. internal/daemon wires them: they never
// import it, nor each other.
var anyEngineRoom = room{
	may:   append(slices.Clone(core), leaves...),
	reach: append(dockerSDK, awsSDK...), why: "a room declares what it needs of another as an interface, and meets it in the store and on the bus",
}

// dockerLeaves are the rooms of provisioner/docker that all others there may import.
var dockerLeaves = inside("provisioner/docker", "accounts", "cgroup", "engine", "firewall", "hostproc", "output", "sandbox", "seccomp", "tarstream")

// anyDockerRoom is the rule of each room of provisioner/docker, leaves included, named after its folder. The package above them wires them:
// they never import it, nor each other.
var anyDockerRoom = room{
	may:   append([]string{"provisioner", "internal/sparsetar"}, dockerLeaves...),
	reach: append([]string{module + "/internal"}, awsSDK...), why: "a room declares what it needs of another as an interface, and provisioner/docker wires them",
}

func inside(folder string, names ...string) (all []string) {
	for _, n := range names {
		all = append(all, folder+"/"+n)
	}
	return all
}

type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestImportsKeepTheLayers(t *testing.T) {
	graph := load(t)
	for _, p := range violations(graph, rooms) {
		t.Error(p)
	}
}

// The checker itself must see what it is for: one planted breach per kind of ban.
func TestAPlantedBreachIsSeen(t *testing.T) {
	for _, c := range []struct {
		name, from string
		imports    []string
		want       string
	}{
		{"a room not allowed", "internal/plan", []string{module + "/internal/store"}, "imports internal/store"},
		{"a subfolder counts as its room", "internal/plan/deep", []string{module + "/internal/store"}, "imports internal/store"},
		{"an impure package", "internal/quota", []string{"os/exec"}, "imports os/exec"},
		{"a third party where only the standard library may be", "internal/fleet", []string{"example.com/x"}, "leads to example.com/x"},
		{"the contracts import the domain", "provisioner", []string{module + "/internal/fleet"}, "imports internal/fleet"},
		{"a driver imports internal", "provisioner/docker", []string{module + "/internal/fleet"}, "imports internal/fleet"},
		{"a driver imports the one leaf's neighbour", "provisioner/docker", []string{module + "/internal/sparsetar", module + "/internal/files"}, "imports internal/files"},
		{"a driver reaches internal through the leaf", "provisioner/docker", []string{module + "/internal/sparsetar"}, "provisioner/docker -> internal/sparsetar -> internal/store"},
		{"the leaf is another driver's", "provisioner/terraform", []string{module + "/internal/sparsetar"}, "imports internal/sparsetar"},
		{"a driver that nobody listed imports internal", "provisioner/pods", []string{module + "/internal/fleet"}, "imports internal/fleet"},
		{"a use case names a driver that nobody listed", "internal/service", []string{module + "/provisioner/pods"}, "imports provisioner/pods"},
		{"Docker's SDK through another package", "internal/service", []string{"example.com/wraps-docker"}, "internal/service -> example.com/wraps-docker -> github.com/docker/docker/client"},
		{"a use case imports a room that it passes nothing on of", "internal/service", []string{module + "/internal/engine/worker"}, "imports internal/engine/worker"},
		{"a use case imports what wires it", "internal/service", []string{module + "/internal/daemon"}, "imports internal/daemon"},
		{"a use case knows an edge", "internal/service", []string{module + "/internal/api/wire"}, "imports internal/api/wire"},
		{"the wiring names a driver", "internal/daemon", []string{module + "/provisioner/fake"}, "imports provisioner/fake"},
		{"a package among the rooms", "internal/engine", []string{module + "/internal/store"}, "imports internal/store"},
		{"the kit of transactions learns a word of the domain", "internal/store/sqlkit", []string{module + "/internal/fleet"}, "imports internal/fleet"},
		{"a room of the store asks the aggregate", "internal/store/billing", []string{module + "/internal/store"}, "imports internal/store;"},
		{"a room of the store asks its sister", "internal/store/feed", []string{module + "/internal/store/election"}, "imports internal/store/election"},
		{"the engine asks a room of the store", "internal/engine/sweep", []string{module + "/internal/store/retention"}, "imports internal/store/retention"},
		{"the dialect asks the store", "internal/store/dialect", []string{module + "/internal/store"}, "imports internal/store"},
		{"a room of the engine imports its sister", "internal/engine/sweep", []string{module + "/internal/engine/hosts"}, "imports internal/engine/hosts"},
		{"a room of the engine imports what wires it", "internal/engine/sweep", []string{module + "/internal/daemon"}, "imports internal/daemon;"},
		{"a room of the engine imports a use case", "internal/engine/sweep", []string{module + "/internal/service"}, "imports internal/service;"},
		{"a leaf imports a room", "internal/engine/clock", []string{module + "/internal/engine/hosts"}, "imports internal/engine/hosts"},
		{"a room of the engine names a driver", "internal/engine/worker", []string{module + "/provisioner/fake"}, "imports provisioner/fake"},
		{"a room of the engine reads the configuration", "internal/engine/worker", []string{module + "/internal/config"}, "imports internal/config"},
		{"a room of Docker's driver imports its sister", "provisioner/docker/cp", []string{module + "/provisioner/docker/exec"}, "imports provisioner/docker/exec"},
		{"a room of Docker's driver imports what wires it", "provisioner/docker/exec", []string{module + "/provisioner/docker"}, "imports provisioner/docker;"},
		{"a leaf of Docker's driver imports a room", "provisioner/docker/engine", []string{module + "/provisioner/docker/exec"}, "imports provisioner/docker/exec"},
		{"a room of Docker's driver imports the domain", "provisioner/docker/limits", []string{module + "/internal/fleet"}, "imports internal/fleet"},
		{"a room of Docker's driver imports the harness", "provisioner/docker/limits", []string{module + "/provisioner/docker/dockertest"}, "imports provisioner/docker/dockertest"},
		{"api asks a room", "internal/api", []string{module + "/internal/engine/hosts"}, "imports internal/engine/hosts"},
		{"api touches the store", "internal/api", []string{module + "/internal/store"}, "imports internal/store"},
		{"the command line takes the whole api", "internal/cli/up", []string{module + "/internal/api"}, "imports internal/api"},
		{"a room of no rule of its own names a driver", "internal/web", []string{module + "/provisioner/fake"}, "imports provisioner/fake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			graph := map[string]pkg{
				"os/exec":                   {ImportPath: "os/exec", Standard: true},
				"example.com/x":             {ImportPath: "example.com/x"},
				"example.com/wraps-docker":  {ImportPath: "example.com/wraps-docker", Imports: []string{"github.com/docker/docker/client"}},
				module + "/" + c.from:       {ImportPath: module + "/" + c.from, Imports: c.imports},
				module + "/internal/layers": {ImportPath: module + "/internal/layers"},
				// A leaf that is none any more.
				module + "/internal/sparsetar": {ImportPath: module + "/internal/sparsetar", Imports: []string{module + "/internal/store"}},
			}
			got := strings.Join(violations(graph, rooms), "\n")
			if !strings.Contains(got, c.want) {
				t.Errorf("violations = %q, want one that says %q", got, c.want)
			}
		})
	}
}

func TestWhatIsAllowedIsNotReported(t *testing.T) {
	ok := map[string][]string{
		"internal/api":          {"internal/api/wire", "internal/service"},
		"internal/cli/up":       {"internal/cli/ui", "internal/client", "internal/spec", "internal/config"},
		"internal/service":      {"internal/store", "provisioner", "internal/engine/acquire", "internal/engine/bus"},
		"internal/daemon":       {"internal/api", "internal/engine/hosts", "internal/service", "internal/store"},
		"internal/engine/bus":   {"internal/engine/clock", "internal/store"},
		"internal/engine/sweep": {"internal/engine/journal", "internal/engine/sweep/deep", "internal/receipt", "provisioner"},
		"internal/plan":         {"internal/fleet"},
		"provisioner/fake":      {"provisioner"},
		"provisioner/docker":    {"provisioner", "internal/sparsetar", "provisioner/docker/exec"},
		"provisioner/docker/cp": {"provisioner", "provisioner/docker/engine", "provisioner/docker/tarstream"},
		"internal/cli/source":   {"internal/sparsetar"},
		"cmd/bothyd":            {"provisioner/docker", "internal/store", "internal/api", "internal/daemon"},
		"internal/store/stest":  {"internal/store", "internal/ledger"},
	}
	graph := map[string]pkg{}
	for from, to := range ok {
		graph[module+"/"+from] = pkg{ImportPath: module + "/" + from, Imports: inModule(to)}
	}
	if got := violations(graph, rooms); len(got) > 0 {
		t.Errorf("violations = %q, want none", got)
	}
}

// violations lists what breaks the rules, sorted. Rooms that do not exist break none.
func violations(graph map[string]pkg, rooms []room) []string {
	var found []string
	for _, p := range graph {
		folder, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours {
			continue
		}
		rule, ok := roomOf(folder, rooms)
		if !ok {
			continue
		}
		say := func(format string, args ...any) {
			found = append(found, folder+" "+fmt.Sprintf(format, args...)+"; "+rule.why)
		}
		for _, i := range p.Imports {
			if target, local := strings.CutPrefix(i, module+"/"); local {
				if rule.may != nil && !within(target, rule.name) && !rule.mayImport(target, rooms) {
					say("imports %s", target)
					continue
				}
			}
			if anyWithin(i, rule.never) {
				say("imports %s", strings.TrimPrefix(i, module+"/"))
			}
		}
		if chain := leadsTo(graph, p.ImportPath, rule.banned); chain != nil {
			say("leads to %s: %s", chain[len(chain)-1], strings.ReplaceAll(strings.Join(chain, " -> "), module+"/", ""))
		}
	}
	slices.Sort(found)
	return found
}

// banned reports whether the room may not lead to p.
func (r room) banned(p pkg) bool {
	if r.stdlib && !p.Standard && !within(p.ImportPath, module) {
		return true
	}
	if folder, ours := strings.CutPrefix(p.ImportPath, module+"/"); ours && slices.Contains(r.may, folder) {
		return false
	}
	return anyWithin(p.ImportPath, r.reach)
}

// mayImport reports whether the room's list covers a folder. It does not cover a room with
// a rule of its own further down: engine may import provisioner, not provisioner/docker.
func (r room) mayImport(folder string, rooms []room) bool {
	other, _ := roomOf(folder, rooms)
	return slices.ContainsFunc(r.may, func(m string) bool {
		return within(folder, m) && len(other.name) <= len(m)
	})
}

// roomOf finds the room that a folder is in: the longest name that covers it. The
// contracts' rule covers their own folder only, since drivers live below it.
func roomOf(folder string, rooms []room) (room, bool) {
	var best room
	for _, r := range rooms {
		if within(folder, r.name) && len(r.name) > len(best.name) && (r.name != "provisioner" || folder == r.name) {
			best = r
		}
	}
	if rest, below := strings.CutPrefix(folder, "provisioner/"); below && best.name == "" {
		driver, _, _ := strings.Cut(rest, "/")
		best = anyDriver
		best.name = "provisioner/" + driver
	}
	for above, rule := range map[string]room{"internal/engine": anyEngineRoom, "provisioner/docker": anyDockerRoom} {
		if rest, below := strings.CutPrefix(folder, above+"/"); below && best.name == above {
			name, _, _ := strings.Cut(rest, "/")
			best = rule
			best.name = above + "/" + name
			break
		}
	}
	return best, best.name != ""
}

// leadsTo gives the shortest chain of imports from a package to a banned one, or nil.
func leadsTo(graph map[string]pkg, from string, banned func(pkg) bool) []string {
	chains := [][]string{{from}}
	seen := map[string]bool{from: true}
	for len(chains) > 0 {
		chain := chains[0]
		chains = chains[1:]
		for _, i := range graph[chain[len(chain)-1]].Imports {
			if seen[i] || i == "C" { // cgo's pretend package
				continue
			}
			seen[i] = true
			next := append(slices.Clone(chain), i)
			p := graph[i]
			p.ImportPath = i
			if banned(p) {
				return next
			}
			chains = append(chains, next)
		}
	}
	return nil
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func anyWithin(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return within(path, f) })
}

func inModule(folders []string) []string {
	var out []string
	for _, f := range folders {
		out = append(out, module+"/"+f)
	}
	return out
}

// load reads the import graph of the whole module. Packages with errors are taken as far as
// they can be read: building them is another check's business.
func load(t *testing.T) map[string]pkg {
	t.Helper()
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("find the module: %v", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(gomod)))
	if err := rig.TouchSources(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v\n%s", err, stderr.String())
	}
	graph := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		graph[p.ImportPath] = p
	}
	if len(graph) == 0 {
		t.Fatal("go list found no packages")
	}
	return graph
}
