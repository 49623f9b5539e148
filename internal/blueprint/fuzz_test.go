package blueprint_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/blueprint/blueprinttest"
)

// Any files get an answer: errors with places, or a blueprint that is whole and by whose Terraform nothing is reached.
func FuzzLoad(f *testing.F) {
	f.Add(goodManifest, goodTerraform)
	for _, c := range refusedTerraform {
		f.Add(goodManifest, goodTerraform+c.add)
		f.Add(goodManifest, within(c.in))
	}
	for _, c := range allowedTerraform {
		f.Add(goodManifest, within(c))
	}
	for _, h := range blueprinttest.Corpus() {
		if text := joined(h.Files); len(text) < 10_000 {
			f.Add(h.Files["blueprint.yaml"], text)
		}
	}
	f.Add("schema: 1\nsizes: {a: {cpus: .nan}}\n", "a \"b\" {\n  c = <<EOT\n${{}}\nEOT\n}\n")
	f.Fuzz(func(t *testing.T, manifest, terraform string) {
		if tokens, counted := blueprint.CountedTokens(terraform); tokens > counted {
			t.Fatalf("%d tokens are counted as %d: %q", tokens, counted, terraform)
		}
		bp, err := blueprint.CheckFiles(map[string]string{"blueprint.yaml": manifest, "main.tf": terraform})
		if err != nil {
			if errs, ok := errors.AsType[blueprint.Errors](err); ok {
				for _, e := range errs {
					if e.Line < 1 || e.Col < 1 || e.Found == "" || e.Want == "" {
						t.Fatalf("an error without place or sentence: %+v", e)
					}
				}
			}
			return
		}
		if _, ok := bp.SizeNamed(""); !ok || bp.DefaultTTL <= 0 || bp.DefaultTTL > bp.MaxTTL || len(bp.Users) == 0 {
			t.Fatalf("half a blueprint was accepted: %+v", bp)
		}
		if found := unsafe(terraform); len(found) > 0 {
			t.Fatalf("accepted: %q\n%s", found, terraform)
		}
	})
}

// Any spelling of a value is refused, or comes to what it must. Where a line is put, more may follow it.
func FuzzValue(f *testing.F) {
	for _, value := range []string{
		`"%{ if false }none%{ endif }${"host"}"`, `"${"none"}"`, `"n\u006fne"`, `var.bothy.network`, `(var.bothy.network)`, `var.bothy["network"]`,
		`true ? "host" : "none"`, `<<EOT\nnone\nEOT`, `["none"][0]`, `{ a = "host" }.a`, `"none" # "host"`, "\"none\"\n  privileged = true", `"${var.bothy.name}-x"`,
		`"${var.bothy.name}${var.tag}"`, `[for var in [{ bothy = { network = "host" } }] : var.bothy.network][0]`, `"no${"" == "" ? "ne" : ""}"`,
		`["no-new-privileges:true"]`, `["seccomp=unconf${"ined"}"]`, `docker_volume.cache.name`, `"/"`, `"none%{ for x in [] }%{ endfor }"`, `"$${var.x}"`, `1-file("/x")`,
	} {
		for _, name := range []string{"network_mode", "ipc_mode", "name", "image", "security_opts", "restart", "env", "memory"} {
			f.Add(name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		terraform := strings.Replace(goodTerraform, anchor, "  "+name+" = "+value+"\n", 1) + allowedVolumes
		if name != "network_mode" {
			terraform = within(name+" = "+value) + allowedVolumes
		}
		if _, err := blueprint.CheckFiles(map[string]string{"blueprint.yaml": goodManifest, "main.tf": terraform}); err != nil {
			return
		}
		if found := unsafe(terraform); len(found) > 0 {
			t.Fatalf("accepted: %q\n%s", found, terraform)
		}
	})
}

// The oracle of the fuzzing sees most of the hostile blueprints by itself, and nothing in the one that they are made from.
func TestTheOracleSeesHostileBlueprints(t *testing.T) {
	if found := unsafe(joined(blueprinttest.Builtin())); len(found) > 0 {
		t.Errorf("the built-in one: %q", found)
	}
	seen, missed := 0, []string{}
	for _, h := range blueprinttest.Corpus() {
		if len(unsafe(joined(h.Files))) > 0 {
			seen++
		} else {
			missed = append(missed, h.Name)
		}
	}
	if seen < 100 {
		t.Errorf("it sees %d; it does not see %v", seen, missed)
	}
	t.Logf("it sees %d; not %v", seen, missed)
}
