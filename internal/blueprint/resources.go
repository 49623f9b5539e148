package blueprint

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// shape is what a block may contain.
type shape struct {
	// attributes by name; "" for any other name.
	attributes map[string]rule
	blocks     map[string]*shape
	// dynamic are the blocks that may also be generated from var.bothy's value of this name.
	dynamic map[string]string
	// required are blocks that a block must contain.
	required []string
	// needs are required attributes and blocks, and the form of each.
	needs map[string]string
	// names are attributes that refer to objects instead of computing a value.
	names []string
}

// A few nanoseconds are no interval for a program that the engine starts again and again.
const leastInterval, mostInterval = time.Second, time.Hour

// mostGrace bounds the wait for the end of a container, in seconds.
const mostGrace = 10

var userForm = regexp.MustCompile(`^[A-Za-z0-9_.:-]{0,65}$`)

// The broker checks Terraform's requests to the engine again, and is the wall. What it refuses is refused here first, where the
// blueprint's author sees the place. TestTheLoaderAgreesWithTheBroker compares both.
var (
	lifecycleShape = &shape{attributes: map[string]rule{"ignore_changes": changes}, names: []string{"ignore_changes"}}

	containerShape = &shape{
		attributes: map[string]rule{
			"name": ownName, "image": exactly("var.bothy.image"),
			"command": words, "entrypoint": words, "env": words,
			"working_dir": where(func(s string) bool { return s == "" || path.IsAbs(s) && len(s) <= 4096 }, "an absolute path"),
			"user":        where(userForm.MatchString, "a user, or a user and a group, by name or number"),
			"init":        always(true), "must_run": always(true), "restart": exactly(`"no"`), "remove_volumes": always(true),
			"stop_signal":  matching(`SIG[A-Z0-9+]{1,12}`, "a signal such as SIGKILL"),
			"stop_timeout": between(0, mostGrace), "destroy_grace_seconds": between(0, mostGrace),
			"network_mode": exactly("var.bothy.network", `"none"`), "ipc_mode": exactly(`"private"`), "cgroupns_mode": exactly(`"private"`),
			"cpu_period": between(period, period), "cpu_quota": quota, "cpu_shares": between(2, 1024),
			"memory": share, "memory_swap": share, "shm_size": firstRule(between(1, 4096), anInput),
			"security_opts": exactly("var.bothy.security_opts"), "read_only": either, "tmpfs": tmpfsFolders,
			"log_driver": exactly(`"json-file"`), "log_opts": logOptions,
		},
		blocks: map[string]*shape{
			"lifecycle": lifecycleShape,
			"capabilities": {
				attributes: map[string]rule{"add": addedCapabilities, "drop": droppedCapabilities},
				needs:      map[string]string{"drop": `drop = ["ALL"]`},
			},
			"healthcheck": {attributes: map[string]rule{
				"test": words, "interval": orNone(within(leastInterval, mostInterval)), "timeout": orNone(within(leastInterval, mostInterval)),
				"start_period": orNone(within(leastInterval, mostInterval)), "retries": between(0, 100),
			}},
			"volumes": {
				attributes: map[string]rule{"volume_name": ownVolume, "container_path": insideFolder, "read_only": either},
				needs:      map[string]string{"volume_name": "volume_name = docker_volume.NAME.name", "container_path": `container_path = "/data"`},
			},
			"mounts": {
				attributes: map[string]rule{"type": exactly(`"volume"`), "source": ownVolume, "target": insideFolder, "read_only": either},
				needs:      map[string]string{"type": `type = "volume"`, "source": "source = docker_volume.NAME.name", "target": `target = "/data"`},
			},
		},
		dynamic:  map[string]string{"labels": "labels", "ulimit": "ulimits"},
		required: []string{"labels"},
		needs:    needs,
	}
	volumeShape = &shape{
		attributes: map[string]rule{"name": partName},
		blocks:     map[string]*shape{"lifecycle": lifecycleShape},
		dynamic:    map[string]string{"labels": "labels"},
		required:   []string{"labels"},
		needs:      map[string]string{"name": `name = "${var.bothy.name}-..."`},
	}
	dataShape = &shape{
		attributes: map[string]rule{"input": anything, "triggers_replace": anything},
		blocks:     map[string]*shape{"lifecycle": lifecycleShape},
	}
	shapes = map[string]*shape{"docker_container": containerShape, "docker_volume": volumeShape, "terraform_data": dataShape}
)

// never are the reasons for refusing some attributes and blocks.
var never = map[string]string{
	"provisioner":           "what runs programs has no place in a blueprint",
	"connection":            "what runs programs has no place in a blueprint",
	"privileged":            "a privileged container owns the machine",
	"devices":               "a sandbox has no devices of the machine",
	"gpus":                  "a sandbox has no devices of the machine",
	"device_cgroup_rules":   "a sandbox has no devices of the machine",
	"host_path":             "a sandbox sees no directory of the machine",
	"bind_options":          "a sandbox sees no directory of the machine",
	"driver":                "a volume's driver can name anything of the machine",
	"driver_opts":           "a volume's options can name a directory of the machine",
	"volume_options":        "a volume's options can name a directory of the machine",
	"labels":                "a sandbox has those of var.bothy.labels alone, by dynamic",
	"ulimit":                "a sandbox has those of var.bothy.ulimits alone, by dynamic",
	"tmpfs_options":         "directories in memory are written in tmpfs",
	"start_interval":        "older engines do not know it",
	"upload":                "files come by bothy, not from the disk of the machine",
	"from_container":        "a sandbox shares no volumes",
	"pid_mode":              "a sandbox sees no processes but its own",
	"userns_mode":           "the engine's own setting holds",
	"runtime":               "the engine's own setting holds",
	"sysctls":               "the kernel's settings are the machine's",
	"group_add":             "groups of the machine have rights on it",
	"cgroup_parent":         "limits are the size's",
	"cpus":                  "limits are the size's: cpu_quota = floor(var.bothy.cpus * 100000)",
	"cpu_set":               "limits are the size's",
	"memory_reservation":    "limits are the size's",
	"publish_all_ports":     "a sandbox's ports are not published on the machine",
	"ports":                 "a sandbox's ports are not published on the machine",
	"networks_advanced":     "a sandbox joins its own network by network_mode = var.bothy.network",
	"hostname":              "a sandbox has the host name of its network",
	"domainname":            "a sandbox has the host name of its network",
	"host":                  "a sandbox has the hosts file of its network",
	"dns":                   "a sandbox has the resolver of its network",
	"dns_opts":              "a sandbox has the resolver of its network",
	"dns_search":            "a sandbox has the resolver of its network",
	"rm":                    "bothy removes what it made",
	"start":                 "an environment is handed over when it runs",
	"prevent_destroy":       "an environment must end",
	"create_before_destroy": "an environment is made once",
	"replace_triggered_by":  "an environment is made once",
	"precondition":          "its message can print what is not the member's",
	"postcondition":         "its message can print what is not the member's",
	"iterator":              "the block's own name is the iterator's",
}

func (c *checker) resource(b *hclsyntax.Block) {
	if !labelled(b, 2) || shapes[b.Labels[0]] == nil {
		c.fail(b.TypeRange, "resource "+strings.Join(b.Labels, " "), "one of "+strings.Join(allowedResources, ", "))
		return
	}
	kind := b.Labels[0]
	// Without an explicit source, Terraform would use a provider of that name from its own namespace.
	if local, _, _ := strings.Cut(kind, "_"); local != "terraform" && !c.provided {
		c.fail(b.TypeRange, "a resource of provider "+local, "that provider in required_providers, with its source")
	}
	copies := c.copies(b)
	c.made += copies
	c.body(b, shapes[kind], []string{"count", "for_each", "depends_on", "provider"})
	c.missing(b, shapes[kind])
	if kind == "docker_container" {
		c.container(b, copies)
	}
	if name := b.Body.Attributes["name"]; name != nil && kind != "terraform_data" {
		c.unique(b, name, copies)
	}
}

var plainKey = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,40}$`)

// copies checks count and for_each, and returns how many resources they create.
func (c *checker) copies(b *hclsyntax.Block) int64 {
	if a := b.Body.Attributes["count"]; a != nil {
		if n, ok := copyCount(a.Expr); ok {
			return n
		}
		c.fail(a.NameRange, c.assigned(a), fmt.Sprintf("a whole number from 0 to %d, written out, or var.bothy.root ? 1 : 0", maxResources))
	}
	if a := b.Body.Attributes["for_each"]; a != nil {
		call, ok := a.Expr.(*hclsyntax.FunctionCallExpr)
		if ok && call.Name == "toset" && len(call.Args) == 1 && !call.ExpandFinal {
			if list, ok := call.Args[0].(*hclsyntax.TupleConsExpr); ok && len(list.Exprs) <= maxResources &&
				!slices.ContainsFunc(list.Exprs, func(e hclsyntax.Expression) bool { v, ok := literal(e); return !ok || !plainKey.MatchString(v) }) {
				return int64(len(list.Exprs))
			}
		}
		c.fail(a.NameRange, c.assigned(a), fmt.Sprintf(`toset(["a", "b"]) of up to %d names, written out`, maxResources))
	}
	return 1
}

func copyCount(e hclsyntax.Expression) (int64, bool) {
	if cond, ok := e.(*hclsyntax.ConditionalExpr); ok && isReference(cond.Condition, "var.bothy.root") {
		yes, ok1 := copyCount(cond.TrueResult)
		no, ok2 := copyCount(cond.FalseResult)
		return max(yes, no), ok1 && ok2
	}
	n, ok := number(e)
	return n, ok && n >= 0 && n <= maxResources
}

// body checks a block by its shape; meta are attributes that any resource may have.
func (c *checker) body(b *hclsyntax.Block, s *shape, meta []string) {
	for _, a := range attributes(b.Body) {
		r := s.attributes[a.Name]
		if r == nil {
			r = s.attributes[""]
		}
		switch {
		case slices.Contains(meta, a.Name):
			c.meta(a)
		case r == nil:
			c.unlisted(a.NameRange, a.Name, s)
		case slices.Contains(s.names, a.Name):
			if want, ok := r(c, a.Expr); !ok {
				c.fail(a.NameRange, c.assigned(a), want)
			}
		default:
			c.attribute(a, r, nil)
		}
	}
	there := map[string]bool{}
	for _, inner := range b.Body.Blocks {
		name := inner.Type
		if name == "dynamic" && labelled(inner, 1) {
			if from := s.dynamic[inner.Labels[0]]; from != "" {
				there[inner.Labels[0]] = true
				c.dynamic(inner, inner.Labels[0], from)
			} else if name := inner.Labels[0]; s.blocks[name] != nil {
				c.fail(inner.TypeRange, "dynamic "+name, name+" written out: dynamic is for "+strings.Join(slices.Sorted(maps.Keys(s.dynamic)), " and ")+" alone")
			} else {
				c.unlisted(inner.TypeRange, name, s)
			}
			continue
		}
		next := s.blocks[name]
		switch {
		case next == nil:
			c.unlisted(inner.TypeRange, name, s)
		case !labelled(inner, 0):
			c.fail(inner.TypeRange, name+" with a label", name+" without one")
		default:
			c.body(inner, next, nil)
			c.missing(inner, next)
		}
	}
	for _, name := range s.required {
		if !there[name] {
			c.fail(b.TypeRange, strings.Join(b.Labels, " ")+" without dynamic "+name, "dynamic "+name+" with for_each = var.bothy."+name+": by them bothy finds it again")
		}
	}
}

// attribute checks a value by its rule, and by the limits of every expression.
func (c *checker) attribute(a *hclsyntax.Attribute, r rule, in scope) {
	before := len(c.errs) + c.more
	if want, ok := r(c, a.Expr); !ok {
		c.fail(a.NameRange, c.assigned(a), want)
		return
	}
	c.expression(a.Expr, in)
	if len(c.errs)+c.more > before {
		return
	}
	size := c.size(a.Expr, nil)
	c.total += size
	switch {
	case size > maxValue:
		c.fail(a.NameRange, fmt.Sprintf("%s, whose value may grow beyond %d bytes", a.Name, maxValue), "a smaller one")
	case c.total > maxValues && c.total-size <= maxValues: // reported once
		c.fail(a.NameRange, fmt.Sprintf("%s, by which all values together may grow beyond %d bytes", a.Name, maxValues), "smaller ones")
	}
}

func (c *checker) unlisted(at hcl.Range, name string, s *shape) {
	if why := never[name]; why != "" {
		c.fail(at, name, "none of it: "+why)
		return
	}
	allowed := append(slices.Collect(maps.Keys(s.attributes)), slices.Collect(maps.Keys(s.blocks))...)
	slices.Sort(allowed)
	c.fail(at, name, "one of "+strings.Join(allowed, ", "))
}

// meta checks what Terraform itself reads in a resource; copies checks count and for_each.
func (c *checker) meta(a *hclsyntax.Attribute) {
	switch a.Name {
	case "provider":
		if !isReference(a.Expr, "docker") || !c.provided {
			c.fail(a.NameRange, c.assigned(a), "provider = docker")
		}
	case "depends_on":
		list, ok := a.Expr.(*hclsyntax.TupleConsExpr)
		for i := 0; ok && i < len(list.Exprs); i++ {
			t, isRef := list.Exprs[i].(*hclsyntax.ScopeTraversalExpr)
			ok = isRef && c.resources[strings.Join(steps(t.Traversal), ".")] != nil
		}
		if !ok {
			c.fail(a.NameRange, c.assigned(a), "a list of resources of the blueprint")
		}
	}
}

// dynamic checks a block that generates blocks: they come from var.bothy alone.
func (c *checker) dynamic(b *hclsyntax.Block, name, from string) {
	want := map[string][]string{
		"labels": {"label = labels.key", "value = labels.value"},
		"ulimit": {"name = ulimit.value.name", "soft = ulimit.value.soft", "hard = ulimit.value.hard"},
	}[name]
	source := "var.bothy." + from
	for _, a := range attributes(b.Body) {
		switch {
		case a.Name != "for_each":
			c.fail(a.NameRange, a.Name+" in dynamic "+name, "for_each and content only")
		case !isReference(a.Expr, source):
			c.fail(a.NameRange, name+": "+c.assigned(a), "for_each = "+source+", written out")
		}
	}
	if b.Body.Attributes["for_each"] == nil {
		c.fail(b.TypeRange, "dynamic "+name+" without for_each", "for_each = "+source)
	}
	for _, inner := range b.Body.Blocks {
		if inner.Type != "content" || !labelled(inner, 0) || len(inner.Body.Blocks) > 0 {
			c.fail(inner.TypeRange, "a "+inner.Type+" block in dynamic "+name, "content { "+strings.Join(want, ", ")+" }")
			continue
		}
		for _, a := range attributes(inner.Body) {
			if t, ok := a.Expr.(*hclsyntax.ScopeTraversalExpr); !ok || !slices.Contains(want, a.Name+" = "+strings.Join(steps(t.Traversal), ".")) {
				c.fail(a.NameRange, c.assigned(a)+" in dynamic "+name, strings.Join(want, ", "))
			}
		}
		if len(inner.Body.Attributes) < len(want) {
			c.fail(inner.TypeRange, "content of dynamic "+name, "content { "+strings.Join(want, ", ")+" }")
		}
	}
}
