package blueprint_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// The oracle judges Terraform by another way than the loader: it evaluates what is written, as Terraform would, with
// values that can be told apart, and looks at what comes out.

// pure are the functions that a blueprint may call, and the words of types.
var pure = map[string]bool{}

func init() {
	for name := range strings.FieldsSeq(`abs alltrue anytrue base64encode ceil chomp coalesce coalescelist compact concat contains
		distinct element endswith flatten floor format index join jsonencode keys length lookup lower max merge min one parseint
		replace reverse signum slice sort split startswith strcontains strrev substr sum title tobool tolist tomap tonumber toset
		tostring trim trimprefix trimspace trimsuffix try upper values zipmap list map object optional set tuple`) {
		pure[name] = true
	}
}

// known are the values that an evaluation has: an input is "INPUT", so that it is seen wherever it gets to.
func known(inputs, volumes []string) *hcl.EvalContext {
	named := map[string]cty.Value{"": cty.NullVal(cty.Object(map[string]cty.Type{"name": cty.String}))}
	for _, v := range volumes {
		named[v] = cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal("VOLUME")})
	}
	vars := map[string]cty.Value{}
	for _, name := range inputs {
		vars[name] = cty.StringVal("INPUT")
	}
	vars["bothy"] = cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal("NAME"), "image": cty.StringVal("IMAGE"), "network": cty.StringVal("NETWORK"), "engine": cty.StringVal("ENGINE"),
		"memory_mib": cty.NumberIntVal(77), "cpus": cty.NumberIntVal(3), "root": cty.True, "size": cty.StringVal("SIZE"),
		"security_opts": cty.StringVal("OPTS"),
	})
	return &hcl.EvalContext{Variables: map[string]cty.Value{
		"var": cty.ObjectVal(vars), "count": cty.ObjectVal(map[string]cty.Value{"index": cty.NumberIntVal(0)}),
		"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal("KEY")}),
		// Any volume of the module: its own name is judged where it is declared.
		"docker_volume": cty.ObjectVal(named),
	}}
}

// may are the values that an attribute of a container may come to.
var may = map[string][]string{
	"network_mode": {"NETWORK", "none"}, "ipc_mode": {"private"}, "cgroupns_mode": {"private"}, "image": {"IMAGE"},
	"restart": {"no"}, "log_driver": {"json-file"}, "type": {"volume"}, "volume_name": {"VOLUME"}, "source": {"VOLUME"},
}

// unsafe lists what Terraform would reach by a text.
func unsafe(src string) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	tokens, diags := hclsyntax.LexConfig([]byte(src), "x.tf", hcl.InitialPos)
	file, more := hclsyntax.ParseConfig([]byte(src), "x.tf", hcl.InitialPos)
	if diags.HasErrors() || more.HasErrors() {
		return []string{"it cannot be read"}
	}
	tokens = slices.DeleteFunc(tokens, func(t hclsyntax.Token) bool {
		return t.Type == hclsyntax.TokenComment || t.Type == hclsyntax.TokenNewline
	})
	for i, t := range tokens[1:] {
		before := tokens[i]
		if before.Type == hclsyntax.TokenIdent && (t.Type == hclsyntax.TokenOParen && !pure[string(before.Bytes)] || t.Type == hclsyntax.TokenDoubleColon) {
			// A word before a bracket that is no call: "if (x)" in a template or a loop.
			if !slices.Contains([]string{"if", "in"}, string(before.Bytes)) {
				say("a call of %s", before.Bytes)
			}
		}
	}
	body := file.Body.(*hclsyntax.Body)
	var inputs, volumes []string
	for _, b := range body.Blocks {
		if b.Type == "resource" && len(b.Labels) == 2 && b.Labels[0] == "docker_volume" && b.Body.Attributes["count"] == nil && b.Body.Attributes["for_each"] == nil {
			volumes = append(volumes, b.Labels[1])
		}
		if b.Type == "variable" && len(b.Labels) == 1 && b.Labels[0] != "bothy" {
			inputs = append(inputs, b.Labels[0])
		}
	}
	ctx := known(inputs, volumes)
	for _, b := range body.Blocks {
		switch b.Type {
		case "variable", "locals", "output":
		case "terraform":
			for _, inner := range b.Body.Blocks {
				for name, a := range inner.Body.Attributes {
					v, _ := a.Expr.Value(ctx)
					if !v.IsWhollyKnown() || !v.CanIterateElements() || name != "docker" || !v.Type().HasAttribute("source") || v.GetAttr("source").AsString() != "kreuzwerker/docker" {
						say("provider %s from elsewhere", name)
					}
				}
			}
		case "provider":
			if a := b.Body.Attributes["host"]; a == nil || text(a, ctx) != "ENGINE" || len(b.Body.Attributes) != 1 {
				say("a provider of another engine")
			}
		case "resource":
			if len(b.Labels) != 2 || !slices.Contains([]string{"docker_container", "docker_volume", "terraform_data"}, b.Labels[0]) {
				say("resource %v", b.Labels)
				continue
			}
			if b.Labels[0] == "docker_container" && b.Body.Attributes["network_mode"] == nil {
				say("the default network")
			}
			if a := b.Body.Attributes["name"]; b.Labels[0] != "terraform_data" && (a == nil || !strings.HasPrefix(text(a, ctx), "NAME") || strings.Contains(text(a, ctx), "INPUT")) {
				say("a name of its own")
			}
			unsafeBody(b.Body, ctx, say)
		default:
			say("a %s block", b.Type)
		}
	}
	return found
}

func unsafeBody(body *hclsyntax.Body, ctx *hcl.EvalContext, say func(string, ...any)) {
	for name, a := range body.Attributes {
		if values := may[name]; values != nil && !slices.Contains(values, text(a, ctx)) {
			say("%s = %q", name, text(a, ctx))
		}
		if name == "security_opts" {
			v, _ := a.Expr.Value(ctx)
			if s := fmt.Sprintf("%#v", v); s != `cty.StringVal("OPTS")` {
				say("security_opts %s", s)
			}
		}
		if slices.Contains(strings.Fields("privileged pid_mode userns_mode cgroup_parent host_path upload devices gpus runtime sysctls group_add rm start driver_opts prevent_destroy dns publish_all_ports from_container"), name) {
			say("%s", name)
		}
	}
	for _, b := range body.Blocks {
		name := b.Type
		if name == "dynamic" && len(b.Labels) == 1 {
			name = b.Labels[0]
		}
		if !slices.Contains(strings.Fields("ulimit capabilities labels healthcheck volumes mounts tmpfs_options lifecycle content"), name) {
			say("a block %s", name)
		}
		unsafeBody(b.Body, ctx, say)
	}
}

// text is what an attribute comes to; "?" for what is no text, or not known before.
func text(a *hclsyntax.Attribute, ctx *hcl.EvalContext) string {
	v, diags := a.Expr.Value(ctx)
	if diags.HasErrors() || !v.IsWhollyKnown() || v.IsNull() || v.Type() != cty.String {
		return "?"
	}
	return v.AsString()
}

// joined puts a blueprint's Terraform into one file.
func joined(files map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".tf") {
			b.WriteString(files[name] + "\n")
		}
	}
	return b.String()
}
