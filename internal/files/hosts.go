package files

import (
	"fmt"
	"math"
	"os"
	"regexp"

	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

// Host is an engine host as the file has it.
type Host struct {
	Name     string
	Endpoint string
	Labels   map[string]string
	Capacity fleet.Capacity
}

var hostNameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const (
	wantHostName = `a name of up to 63 of a-z, 0-9 and "-", starting and ending with a letter or digit`
	wantMemory   = `a size, for example 512MiB or 64GiB`
	maxHostCount = 100_000
)

// LoadHosts reads a file of hosts, as ParseHosts has it.
func LoadHosts(path string) ([]Host, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read hosts: %w", err)
	}
	hosts, err := ParseHosts(path, data)
	if err != nil {
		return nil, fmt.Errorf("cannot read hosts: %w", err)
	}
	return hosts, nil
}

// ParseHosts reads the text of the platform team's file of engine hosts:
//
//	hosts:
//	  - name: rack-1
//	    endpoint: unix:///var/run/docker.sock
//	    environments: 40
//	    cpus: 16
//	    memory: 64GiB
//	    labels:
//	      zone: a
//
// Name and endpoint are required; what is not bounded may be left out. Everything wrong is
// reported at once, by file, line and column: the error is a strictyaml.Errors.
func ParseHosts(file string, data []byte) ([]Host, error) {
	doc, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	f := doc.Root.Object("hosts")
	doc.Root.Missing(f, "hosts")
	var hosts []Host
	if list := f["hosts"]; list != nil {
		items := list.Items()
		if list.Kind == strictyaml.List && len(items) == 0 {
			list.Fail("an empty list", "at least one host")
		}
		seen := map[string]bool{}
		for _, item := range items {
			h := readHost(item)
			if h.Name != "" && seen[h.Name] {
				item.Fail("a second host called "+h.Name, "each name once")
			}
			seen[h.Name] = true
			hosts = append(hosts, h)
		}
	}
	return hosts, doc.Err()
}

func readHost(n *strictyaml.Node) Host {
	var h Host
	f := n.Object("name", "endpoint", "environments", "cpus", "memory", "labels")
	n.Missing(f, "name", "endpoint")
	if v := f["name"]; v != nil {
		h.Name, _ = v.Match(hostNameRE, wantHostName)
	}
	if v, ok := hostText(f["endpoint"], "unix:///path or tcp://127.0.0.1:port"); ok {
		h.Endpoint = v
		if err := config.CheckEngine(v); err != nil {
			f["endpoint"].Want("an engine's address: %v", err)
		}
	}
	if v := f["environments"]; v != nil {
		const want = "a whole number from 1 to 100000"
		if count, ok := v.Int(want); ok && (count < 1 || count > maxHostCount) {
			v.Want(want)
		} else {
			h.Capacity.Environments = count
		}
	}
	if v := f["cpus"]; v != nil {
		const want = "a number of CPUs from 0.1 to 100000"
		if cpus, ok := v.Number(want); ok && (math.IsNaN(cpus) || cpus < 0.1 || cpus > maxHostCount) {
			v.Want(want)
		} else if ok {
			h.Capacity.MilliCPUs = int64(math.Round(cpus * 1000))
		}
	}
	if v, ok := hostText(f["memory"], wantMemory); ok {
		if h.Capacity.MemoryMiB, ok = strictyaml.Mebibytes(v); !ok {
			f["memory"].Want(wantMemory)
		}
	}
	if v := f["labels"]; v != nil {
		h.Labels = readLabels(v)
	}
	return h
}

func readLabels(n *strictyaml.Node) map[string]string {
	labels := map[string]string{}
	for _, field := range n.Fields() {
		if !hostNameRE.MatchString(field.Key) {
			n.FailKey(field, "an unusable label", wantHostName)
			continue
		}
		if v, ok := field.Value.Str("text of up to 63 bytes"); ok {
			if len(v) > 63 {
				field.Value.Want("text of up to 63 bytes")
			}
			labels[field.Key] = v
		}
	}
	return labels
}

func hostText(n *strictyaml.Node, want string) (string, bool) {
	if n == nil {
		return "", false
	}
	return n.Str(want)
}
