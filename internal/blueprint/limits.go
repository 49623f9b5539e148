package blueprint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/bothy-env/bothy/internal/fleet"
)

// The least that an engine and the kernel accept: memory in MiB, and a quota in microseconds per period.
const (
	leastMemoryMiB = 6
	leastQuota     = 1000
	// period is the period of a CPU quota, in microseconds.
	period = 100_000
)

// needs are the attributes and blocks without which the broker refuses a container, and the form of each.
var needs = map[string]string{
	"name":          "name = var.bothy.name",
	"image":         "image = var.bothy.image",
	"network_mode":  "network_mode = var.bothy.network",
	"ipc_mode":      `ipc_mode = "private"`,
	"cgroupns_mode": `cgroupns_mode = "private"`,
	"init":          "init = true",
	"cpu_period":    "cpu_period = 100000",
	"cpu_quota":     "cpu_quota = floor(var.bothy.cpus * 100000)",
	"memory":        "memory = var.bothy.memory_mib",
	"memory_swap":   "memory_swap = var.bothy.memory_mib",
	"security_opts": "security_opts = var.bothy.security_opts",
	"log_driver":    `log_driver = "json-file"`,
	"log_opts":      `log_opts = { max-size = "10m", max-file = "3" }`,
	"capabilities":  `capabilities { drop = ["ALL"] }`,
	"ulimit":        `dynamic "ulimit" with for_each = var.bothy.ulimits`,
}

// secretsOptions are the options of the directory for secrets.
const secretsOptions = `tmpfs = { "/run/bothy" = "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000" }`

// missing refuses a block that lacks a required attribute or block.
func (c *checker) missing(b *hclsyntax.Block, s *shape) {
	what := strings.Join(append([]string{b.Type}, b.Labels...), " ")
	if b.Type == "resource" {
		what = strings.Join(b.Labels, " ")
	}
	for _, name := range slices.Sorted(maps.Keys(s.needs)) {
		there := b.Body.Attributes[name] != nil || slices.ContainsFunc(b.Body.Blocks, func(inner *hclsyntax.Block) bool {
			return inner.Type == name || inner.Type == "dynamic" && labelled(inner, 1) && inner.Labels[0] == name
		})
		if !there {
			c.fail(b.TypeRange, what+" without "+name, "it: add "+s.needs[name])
		}
	}
}

// container checks limits over all containers, and attributes that depend on each other.
func (c *checker) container(b *hclsyntax.Block, copies int64) {
	at := b.Body.Attributes
	if b == c.sandbox && (at["tmpfs"] == nil || !holdsFolder(at["tmpfs"].Expr, guardedFolders[0])) {
		c.fail(b.TypeRange, "docker_container "+b.Labels[1]+" without tmpfs for "+guardedFolders[0], "it: add "+secretsOptions)
	}
	memory, ok := 0.0, false
	if a := at["memory"]; a != nil {
		if memory, ok = memoryShare(a.Expr); ok {
			c.memory += float64(copies) * memory
			if swap := at["memory_swap"]; swap != nil && c.written(swap.Expr) != c.written(a.Expr) {
				c.fail(swap.NameRange, c.assigned(swap), "the value of memory, so that there is no swap on top: "+c.text(a.Expr))
			}
			if c.memory > 1+1e-9 {
				c.fail(a.NameRange, c.assigned(a)+", by which all containers have more than var.bothy.memory_mib", "shares that come to no more, such as floor(var.bothy.memory_mib / 2) for each of two")
			}
		}
	}
	if a := at["cpu_quota"]; a != nil {
		if n, ok := quotaShare(a.Expr); ok {
			if c.cpus += copies * n; c.cpus > period {
				c.fail(a.NameRange, c.assigned(a)+", by which all containers have more than var.bothy.cpus", "shares that come to no more, such as floor(var.bothy.cpus * 50000) for each of two")
			}
			for _, s := range c.bp.Sizes {
				if s.CPUs*float64(n) < leastQuota {
					c.fail(a.NameRange, fmt.Sprintf("%s, with size %s less than the kernel's %d", c.assigned(a), s.Name, leastQuota), "a larger share, or a size with more cores")
				}
			}
		}
	}
	for _, s := range c.bp.Sizes {
		if !ok {
			break // reported already
		}
		mib := float64(s.MemoryMiB) * memory
		if mib < leastMemoryMiB {
			c.fail(at["memory"].NameRange, fmt.Sprintf("%s, with size %s less than %d MiB", c.assigned(at["memory"]), s.Name, leastMemoryMiB), "a larger share, or a size with more memory")
			break
		}
		if a := at["shm_size"]; a != nil {
			if most, known := c.most(a.Expr); known && most > float64(int64(mib)) {
				c.fail(a.NameRange, fmt.Sprintf("%s, up to %v MiB, with size %s", c.assigned(a), most, s.Name), fmt.Sprintf("no more than memory, %d MiB there", int64(mib)))
				break
			}
		}
	}
}

// most returns the highest value of a literal number or an integer input.
func (c *checker) most(e hclsyntax.Expression) (float64, bool) {
	if n, ok := number(e); ok {
		return float64(n), true
	}
	for _, in := range c.bp.Inputs {
		if isReference(e, "var."+in.Name) && in.Max != nil {
			return *in.Max, true
		}
	}
	return 0, false
}

// anInput accepts var.NAME of an integer input with bounds in the manifest.
func anInput(c *checker, e hclsyntax.Expression) (string, bool) {
	const want = "var.INPUT, of an integer input with min and max"
	t, ok := e.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(t.Traversal) != 2 || t.Traversal.RootName() != "var" {
		return want, false
	}
	if !c.complete {
		return want, true // the manifest is wrong, which is reported
	}
	i := slices.IndexFunc(c.bp.Inputs, func(in fleet.Input) bool { return isReference(e, "var."+in.Name) })
	if i < 0 {
		return want, false
	}
	in := c.bp.Inputs[i]
	return want, in.Type == "integer" && in.Min != nil && *in.Min >= 1 && in.Max != nil
}

// share accepts var.bothy.memory_mib, or a part of it.
func share(_ *checker, e hclsyntax.Expression) (string, bool) {
	_, ok := memoryShare(e)
	return "var.bothy.memory_mib, or floor(var.bothy.memory_mib / 2) with a number from 1 to 16, written out", ok
}

func memoryShare(e hclsyntax.Expression) (part float64, ok bool) {
	const size = "var.bothy.memory_mib"
	if isReference(e, size) {
		return 1, true
	}
	op, ok := floored(e)
	if !ok || op.Op != hclsyntax.OpDivide || !isReference(op.LHS, size) {
		return 0, false
	}
	n, ok := number(op.RHS)
	return 1 / float64(max(n, 1)), ok && n >= 1 && n <= maxResources
}

// quota accepts floor(var.bothy.cpus * N): the size's cores, or a part of them, in microseconds per period.
func quota(_ *checker, e hclsyntax.Expression) (string, bool) {
	_, ok := quotaShare(e)
	return "floor(var.bothy.cpus * 100000), or with a smaller whole number, written out", ok
}

func quotaShare(e hclsyntax.Expression) (int64, bool) {
	const size = "var.bothy.cpus"
	op, ok := floored(e)
	if !ok || op.Op != hclsyntax.OpMultiply {
		return 0, false
	}
	by := op.RHS
	if isReference(by, size) {
		by = op.LHS
	} else if !isReference(op.LHS, size) {
		return 0, false
	}
	n, ok := number(by)
	return n, ok && n >= 1 && n <= period
}

// floored returns the operation in floor(...).
func floored(e hclsyntax.Expression) (*hclsyntax.BinaryOpExpr, bool) {
	call, ok := e.(*hclsyntax.FunctionCallExpr)
	if !ok || call.Name != "floor" || len(call.Args) != 1 || call.ExpandFinal {
		return nil, false
	}
	arg := call.Args[0]
	for {
		p, ok := arg.(*hclsyntax.ParenthesesExpr)
		if !ok {
			break
		}
		arg = p.Expression
	}
	op, ok := arg.(*hclsyntax.BinaryOpExpr)
	return op, ok
}

// holdsFolder reports whether a literal map has a key.
func holdsFolder(e hclsyntax.Expression, folder string) bool {
	object, ok := e.(*hclsyntax.ObjectConsExpr)
	return ok && slices.ContainsFunc(object.Items, func(item hclsyntax.ObjectConsItem) bool { return writtenKey(item.KeyExpr) == folder })
}

// Limits of a command and of the variables, equal to the broker's.
const (
	maxWords     = 256
	maxWordBytes = 64 << 10
)

// words accepts lists within the limits of a command, as far as they are literal.
func words(_ *checker, e hclsyntax.Expression) (string, bool) {
	list, ok := e.(*hclsyntax.TupleConsExpr)
	if !ok {
		return "", true
	}
	bytes := 0
	for _, one := range list.Exprs {
		v, _ := literal(one)
		bytes += len(v)
	}
	return "at most 256 values of 64 KiB together", len(list.Exprs) <= maxWords && bytes <= maxWordBytes
}

// where checks each literal value and accepts computed ones.
func where(fits func(string) bool, want string) rule {
	var ok func(e hclsyntax.Expression) bool
	ok = func(e hclsyntax.Expression) bool {
		switch e := e.(type) {
		case *hclsyntax.ParenthesesExpr:
			return ok(e.Expression)
		case *hclsyntax.ConditionalExpr:
			return ok(e.TrueResult) && ok(e.FalseResult)
		}
		v, written := literal(e)
		return !written || fits(v)
	}
	return func(_ *checker, e hclsyntax.Expression) (string, bool) { return want, ok(e) }
}

// unique refuses a second object of the same name, as far as names are literal.
func (c *checker) unique(b *hclsyntax.Block, name *hclsyntax.Attribute, copies int64) {
	text := c.written(name.Expr)
	if text == `"${var.bothy.name}"` {
		text = "var.bothy.name"
	}
	key := b.Labels[0] + " " + text
	own := strings.Contains(text, "count.index") || strings.Contains(text, "each.key")
	if c.named[key] || copies > 1 && !own {
		c.fail(name.NameRange, c.assigned(name)+" for more than one", "a name for each, with count.index or each.key where there are copies")
	}
	c.named[key] = true
}
