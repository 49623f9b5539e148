package blueprint

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// rule checks the value of an attribute; want describes the allowed values.
type rule func(c *checker, e hclsyntax.Expression) (want string, ok bool)

// anything is for attributes that only the sandbox itself sees. The limits of every expression still apply.
func anything(*checker, hclsyntax.Expression) (string, bool) { return "", true }

// exactly accepts references (var.bothy.x) and texts ("x"), as literals.
func exactly(allowed ...string) rule {
	return func(_ *checker, e hclsyntax.Expression) (string, bool) {
		value, written := literal(e)
		ok := slices.ContainsFunc(allowed, func(a string) bool {
			return isReference(e, a) || written && a == `"`+value+`"`
		})
		return strings.Join(allowed, " or ") + ", written out", ok
	}
}

// always accepts either true or false.
func always(want bool) rule {
	return func(_ *checker, e hclsyntax.Expression) (string, bool) {
		v, ok := boolean(e)
		return fmt.Sprintf("%t, written out", want), ok && v == want
	}
}

func either(_ *checker, e hclsyntax.Expression) (string, bool) {
	_, ok := boolean(e)
	return "true or false, written out", ok
}

// between accepts a literal whole number.
func between(low, high int64) rule {
	return func(_ *checker, e hclsyntax.Expression) (string, bool) {
		n, ok := number(e)
		return fmt.Sprintf("a whole number from %d to %d, written out", low, high), ok && n >= low && n <= high
	}
}

// firstRule accepts what any of its rules accepts.
func firstRule(rules ...rule) rule {
	return func(c *checker, e hclsyntax.Expression) (string, bool) {
		wants := make([]string, len(rules))
		for i, r := range rules {
			want, ok := r(c, e)
			if ok {
				return "", true
			}
			wants[i] = want
		}
		return strings.Join(wants, ", or "), false
	}
}

// matching accepts a literal text.
func matching(pattern, want string) rule {
	re := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return func(_ *checker, e hclsyntax.Expression) (string, bool) {
		v, ok := literal(e)
		return want + ", written out", ok && re.MatchString(v)
	}
}

// within accepts a literal duration.
func within(low, high time.Duration) rule {
	return func(_ *checker, e hclsyntax.Expression) (string, bool) {
		v, ok := literal(e)
		d, err := time.ParseDuration(v)
		return fmt.Sprintf("a time from %s to %s, written out", low, high), ok && err == nil && d >= low && d <= high
	}
}

// orNone also accepts 0s: the engine's own default.
func orNone(r rule) rule {
	return func(c *checker, e hclsyntax.Expression) (string, bool) {
		want, ok := r(c, e)
		v, _ := literal(e)
		d, err := time.ParseDuration(v)
		return want, ok || err == nil && d == 0
	}
}

var namePiece = regexp.MustCompile(`^[a-zA-Z0-9_.-]*$`)

// ownName accepts var.bothy.name, alone or with a suffix after a hyphen: names are unique per host, and everything else on the host has
// one too.
func ownName(c *checker, e hclsyntax.Expression) (string, bool) {
	if w, ok := e.(*hclsyntax.TemplateWrapExpr); ok {
		e = w.Wrapped
	}
	if isReference(e, "var.bothy.name") {
		return "", true
	}
	want, ok := partName(c, e)
	return "var.bothy.name, or " + want, ok
}

// maxNamePart is the longest suffix of var.bothy.name, as far as it is literal.
const maxNamePart = 32

// partName accepts the name of an object that belongs to the sandbox.
func partName(_ *checker, e hclsyntax.Expression) (string, bool) {
	const want = `"${var.bothy.name}-..." with up to 32 letters, digits, count.index or each.key: names are the host's, and an input is not to reach them`
	t, ok := e.(*hclsyntax.TemplateExpr)
	if !ok || len(t.Parts) < 2 || !isReference(t.Parts[0], "var.bothy.name") {
		return want, false
	}
	length := 0
	for i, part := range t.Parts[1:] {
		p, written := piece(part)
		length += len(p)
		switch {
		case i == 0 && !strings.HasPrefix(p, "-"), written && !namePiece.MatchString(p), length > maxNamePart:
			return want, false
		case !written && !isReference(part, "var.bothy.size") && !isReference(part, "count.index") && !isReference(part, "each.key"):
			return want, false
		}
	}
	return want, true
}

// ownVolume accepts docker_volume.NAME.name of a volume of the blueprint.
func ownVolume(c *checker, e hclsyntax.Expression) (string, bool) {
	const want = "docker_volume.NAME.name, of a volume of this blueprint"
	if r, ok := e.(*hclsyntax.RelativeTraversalExpr); ok { // one of several
		index, ok := r.Source.(*hclsyntax.IndexExpr)
		if !ok || len(r.Traversal) != 1 || steps(r.Traversal)[0] != "name" || !isReference(index.Key, "count.index") && !isReference(index.Key, "each.key") {
			return want, false
		}
		t, ok := index.Collection.(*hclsyntax.ScopeTraversalExpr)
		return want, ok && len(t.Traversal) == 2 && c.resources[strings.Join(steps(t.Traversal), ".")] != nil && t.Traversal.RootName() == "docker_volume"
	}
	t, ok := e.(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return want, false
	}
	names := steps(t.Traversal)
	if len(names) == 4 && names[2] == "" { // docker_volume.NAME[0].name
		names = slices.Delete(names, 2, 3)
	}
	return want, len(names) == 3 && names[0] == "docker_volume" && names[2] == "name" && c.resources["docker_volume."+names[1]] != nil
}

// guardedFolders are the sandbox's directories that bothy, the engine or the kernel fills.
var guardedFolders = []string{"/run/bothy", "/var/run", "/proc", "/sys", "/dev", "/etc"}

// insideFolder accepts a directory of the sandbox that a volume may cover.
func insideFolder(_ *checker, e hclsyntax.Expression) (string, bool) {
	v, ok := literal(e)
	return "an absolute directory, written out, that is neither above nor below " + strings.Join(guardedFolders, ", "), ok && mountable(v)
}

func mountable(at string) bool {
	ok := path.IsAbs(at) && path.Clean(at) == at && at != "/" && !strings.ContainsAny(at, ":,\x00")
	for _, g := range guardedFolders {
		ok = ok && at != g && !strings.HasPrefix(at, g+"/") && !strings.HasPrefix(g, at+"/")
	}
	return ok
}

// writtenKey returns the key of an object's item that is a plain word or a quoted text; "" for a computed one.
func writtenKey(e hclsyntax.Expression) string {
	if key := bareKey(e); key != "" {
		return key
	}
	if key, ok := e.(*hclsyntax.ObjectConsKeyExpr); ok {
		v, _ := literal(key.Wrapped)
		return v
	}
	return ""
}

var (
	tmpfsOption = regexp.MustCompile(`^(rw|ro|nosuid|nodev|noexec|exec|noatime|size=[0-9]{1,5}[kmg]?|mode=[0-7]{3,4}|uid=[0-9]{1,5}|gid=[0-9]{1,5})$`)
	// folderOptions and privateOptions are the required options of a directory in memory, and of the directory for secrets.
	folderOptions  = []string{"nosuid", "nodev"}
	privateOptions = []string{"nosuid", "nodev", "noexec", "mode=0700"}
)

// tmpfsFolders accepts { "/directory" = "options" }.
func tmpfsFolders(_ *checker, e hclsyntax.Expression) (string, bool) {
	want := `{ "/scratch" = "nosuid,nodev" }, written out, up to 16, with rw, ro, noexec, exec, noatime, size, mode, uid and gid, each once; in no other of ` +
		strings.Join(guardedFolders, ", ") + ` than "/run/bothy" = "nosuid,nodev,noexec,mode=0700,..."`
	object, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok || len(object.Items) > maxResources {
		return want, false
	}
	seen := map[string]bool{}
	for _, item := range object.Items {
		folder := writtenKey(item.KeyExpr)
		text, ok := literal(item.ValueExpr)
		must := folderOptions
		if folder == guardedFolders[0] {
			must = privateOptions
		} else {
			ok = ok && mountable(folder)
		}
		if !ok || seen[folder] || !tmpfsOptions(text, must) {
			return want, false
		}
		seen[folder] = true
	}
	return want, true
}

// tmpfsOptions reports whether a text has options of a tmpfs, each once, including the required ones.
func tmpfsOptions(text string, must []string) bool {
	options, seen := strings.Split(text, ","), map[string]bool{}
	for _, o := range options {
		key, _, _ := strings.Cut(o, "=")
		switch key {
		case "rw", "ro":
			key = "rw or ro"
		case "exec", "noexec":
			key = "exec or noexec"
		}
		if !tmpfsOption.MatchString(o) || seen[key] {
			return false
		}
		seen[key] = true
	}
	return !slices.ContainsFunc(must, func(o string) bool { return !slices.Contains(options, o) })
}

// Limits of a container's log: together those of the built-in blueprint's log.
const (
	maxLogMiB   = 10
	maxLogFiles = 3
)

// logOptions accepts max-size and max-file within limits.
func logOptions(_ *checker, e hclsyntax.Expression) (string, bool) {
	want := fmt.Sprintf(`{ max-size = "1m" to "%dm", max-file = "1" to "%d" }, both, written out`, maxLogMiB, maxLogFiles)
	object, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return want, false
	}
	seen := map[string]bool{}
	for _, item := range object.Items {
		key := writtenKey(item.KeyExpr)
		value, ok := literal(item.ValueExpr)
		most, unit := 0, ""
		switch key {
		case "max-size":
			most, unit = maxLogMiB, "m"
		case "max-file":
			most = maxLogFiles
		}
		digits, unitOK := strings.CutSuffix(value, unit)
		var n int
		if _, err := fmt.Sscanf(digits, "%d", &n); !ok || !unitOK || err != nil || fmt.Sprint(n) != digits || n < 1 || n > most || seen[key] {
			return want, false
		}
		seen[key] = true
	}
	return want, len(seen) == 2
}

// listOf accepts a literal list of some texts.
func listOf(allowed ...string) rule {
	want := `a list out of "` + strings.Join(allowed, `", "`) + `", written out`
	return func(_ *checker, e hclsyntax.Expression) (string, bool) {
		list, ok := e.(*hclsyntax.TupleConsExpr)
		if !ok {
			return want, false
		}
		for _, one := range list.Exprs {
			if v, ok := literal(one); !ok || !slices.Contains(allowed, v) {
				return want, false
			}
		}
		return want, true
	}
}

// rootCapabilities are those that apt and dpkg need.
var rootCapabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}

// addedCapabilities accepts a list of them, also by var.bothy.root ? LIST : [] and in a local.
func addedCapabilities(c *checker, e hclsyntax.Expression) (string, bool) {
	want, _ := listOf(rootCapabilities...)(c, e)
	want += ", or var.bothy.root ? that : []"
	if p, ok := e.(*hclsyntax.ParenthesesExpr); ok {
		return addedCapabilities(c, p.Expression)
	}
	if cond, ok := e.(*hclsyntax.ConditionalExpr); ok {
		_, yes := c.capabilities(cond.TrueResult)
		none, no := c.capabilities(cond.FalseResult)
		return want, yes && no && isReference(cond.Condition, "var.bothy.root") && (c.grantsRoot() || none == 0)
	}
	n, ok := c.capabilities(e)
	return want + ": none without root among the users of " + ManifestName, ok && (n == 0 || c.grantsRoot())
}

// capabilities counts those of a literal list, which may be in a local.
func (c *checker) capabilities(e hclsyntax.Expression) (int, bool) {
	if t, ok := e.(*hclsyntax.ScopeTraversalExpr); ok {
		// Not a local of a local, which could refer to itself.
		if names := steps(t.Traversal); len(names) == 2 && names[0] == "local" && c.locals[names[1]] != nil {
			e = c.locals[names[1]]
		}
	}
	_, ok := listOf(rootCapabilities...)(c, e)
	list, _ := e.(*hclsyntax.TupleConsExpr)
	if !ok {
		return 0, false
	}
	return len(list.Exprs), true
}

// grantsRoot reports whether root is among the users; an unreadable manifest has its own errors.
func (c *checker) grantsRoot() bool { return !c.complete || c.bp.Root() }

// changes accepts names of attributes, or all.
func changes(_ *checker, e hclsyntax.Expression) (string, bool) {
	list, ok := e.(*hclsyntax.TupleConsExpr)
	if ok {
		ok = !slices.ContainsFunc(list.Exprs, func(one hclsyntax.Expression) bool { return hcl.ExprAsKeyword(one) == "" })
	}
	return "a list of attributes' names, or all", ok || hcl.ExprAsKeyword(e) == "all"
}

// droppedCapabilities accepts ["ALL"].
func droppedCapabilities(c *checker, e hclsyntax.Expression) (string, bool) {
	_, ok := listOf("ALL")(c, e)
	list, _ := e.(*hclsyntax.TupleConsExpr)
	return `["ALL"]`, ok && len(list.Exprs) == 1
}
