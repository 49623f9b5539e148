package blueprint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refusedTerraform is what a blueprint may not hold: text added in a file of
// its own, or (with "in") put into the good container, and what is said of it.
var refusedTerraform = []struct{ name, add, in, want string }{
	{name: "another provider", add: `terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}`, want: `x.tf:3:5: got provider aws of source "hashicorp/aws", want { source = "kreuzwerker/docker" }`},
	{name: "the provider's name for another", add: `terraform {
  required_providers { docker = { version = "1", source : "evil/docker" } }
}`, want: `x.tf:2:24: got provider docker of source "evil/docker", want { source = "kreuzwerker/docker" }`},
	{name: "a source made up", add: `terraform {
  required_providers { e = { source = "${"evil"}/e" } }
}`, want: `x.tf:2:24: got provider e of source "", want { source = "kreuzwerker/docker" }`},
	{name: "two sources", add: `terraform {
  required_providers { e = { source = "kreuzwerker/docker", "source" = "evil/e" } }
}`, want: `x.tf:2:24: got provider e of source "evil/e", want it once`},
	{name: "two sources, the good one last", add: `terraform {
  required_providers { e = { "source" = "evil/e", source = "kreuzwerker/docker" } }
}`, want: `x.tf:2:24: got provider e of source "kreuzwerker/docker", want it once`},
	{name: "a version only", add: `terraform {
  required_providers { external = "~> 2" }
}`, want: `x.tf:2:24: got provider external of source "", want { source = "kreuzwerker/docker" }`},
	{name: "a remote backend", add: `terraform {
  backend "s3" {}
}`, want: `x.tf:2:3: got a backend block in terraform, want required_version and required_providers only: bothy keeps the state`},
	{name: "a cloud", add: `terraform { 
  cloud { organization = "x" }
}`, want: `x.tf:2:3: got a cloud block in terraform, want required_version and required_providers only: bothy keeps the state`},
	{name: "experiments", add: `terraform { experiments = [x] }`, want: `x.tf:1:13: got experiments in terraform, want required_version and required_providers only`},
	{name: "a remote module", add: `module "m" { source = "git::https://example.com/x.git" }`, want: `x.tf:1:1: got a module block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "a local module", add: `module "m" { source = "./m" }`, want: `x.tf:1:1: got a module block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "external data", add: `data "external" "x" { program = ["sh"] }`, want: `x.tf:1:1: got a data block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "external data, spread", add: "data \\\n", want: `x.tf:1:6: got the character '\\', want Terraform that can be read`},
	{name: "an import", add: `import { to = docker_container.x }`, want: `x.tf:1:1: got a import block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "an action", add: `action "docker_exec" "x" {}`, want: `x.tf:1:1: got a action block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "a provider not declared", add: `provider "external" {}`, want: `x.tf:1:1: got a provider block for external, want one for a provider of required_providers`},
	{name: "another engine", add: "provider \"docker\" {\n  alias = \"b\"\n  host = \"tcp://10.0.0.1:2375\"\n}", want: `x.tf:2:3: got alias = "b", want host = var.bothy.engine and nothing else`},
	{name: "registry credentials", add: "provider \"docker\" {\n  host = var.bothy.engine\n  registry_auth { address = \"x\" }\n}", want: `x.tf:3:3: got a registry_auth block in provider, want host = var.bothy.engine and nothing else`},
	{name: "a resource of the builder", add: `resource "docker_image" "x" {}`, want: `x.tf:1:1: got resource docker_image x, want one of docker_container, docker_volume, terraform_data`},
	{name: "a file", add: `resource "local_file" "x" {}`, want: `x.tf:1:1: got resource local_file x, want one of docker_container, docker_volume, terraform_data`},
	{name: "a network of its own", add: `resource "docker_network" "x" {}`, want: `x.tf:1:1: got resource docker_network x, want one of docker_container, docker_volume, terraform_data`},
	{name: "another provider for a resource", add: "resource \"docker_volume\" \"x\" {\n  provider = evil\n}", want: `x.tf:2:3: got provider = evil, want a provider of required_providers`},
	{name: "a program", add: "resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" { command = \"id\" }\n}", want: `x.tf:2:3: got provisioner, want none of it: what runs programs has no place in a blueprint`},
	{name: "a program, label not quoted", add: "resource \"terraform_data\" \"x\" { provisioner local-exec {} }", want: `x.tf:1:33: got provisioner, want none of it`},
	{name: "reading a file", add: `locals { x = file("/etc/passwd") }`, want: `x.tf:1:14: got the function file, want none that reads files`},
	{name: "reading a file in a string", add: `locals { x = "a ${ "b ${templatefile ("/x", {})}" }" }`, want: `x.tf:1:25: got the function templatefile, want none that reads files`},
	{name: "reading a file in a text block", add: "locals {\n  x = <<-EOT\n    %{ if fileexists(\"/x\") }y%{ endif }\n  EOT\n}", want: `x.tf:3:11: got the function fileexists, want none that reads files`},
	{name: "a container on the default network", add: `resource "docker_container" "x" {}`, want: `x.tf:1:1: got a container on the engine's default network, want network_mode = var.bothy.network`},
	{name: "a stray attribute", add: `x = 1`, want: `x.tf:1:1: got the attribute x outside of any block, want blocks`},

	{name: "privileged", in: `privileged = true`, want: `got privileged, want none of it: a privileged container owns the machine`},
	{name: "the host's network", in: `network_mode = "host"`, want: `got network_mode = "host", want var.bothy.network or "none", written out`},
	{name: "another network", in: `networks_advanced { name = "bridge" }`, want: `got networks_advanced, want none of it: a sandbox joins its own network by network_mode`},
	{name: "a host name", in: `hostname = "x"`, want: `got hostname, want none of it: a sandbox has the host name of its network`},
	{name: "the host's processes", in: `pid_mode = "host"`, want: `got pid_mode, want none of it: a sandbox sees no processes but its own`},
	{name: "shared memory", in: `ipc_mode = "host"`, want: `got ipc_mode = "host", want "private" or "none", written out`},
	{name: "the socket", in: `volumes { host_path = "/var/run/docker.sock" }`, want: `got host_path, want none of it: a sandbox sees no folder of the machine`},
	{name: "a bind mount", in: `mounts { type = "bind" }`, want: `got type = "bind", want "tmpfs" or "volume", written out`},
	{name: "a bind mount made up", in: `mounts { type = "${"bind"}" }`, want: `got type = "", want "tmpfs" or "volume", written out`},
	{name: "a dynamic bind mount", in: "dynamic \"mounts\" {\n for_each = [1]\n content { type = \"bind\" }\n }", want: `got type = "bind", want "tmpfs" or "volume", written out`},
	{name: "a dynamic device", in: "dynamic \"devices\" {\n for_each = [1]\n content { }\n }", want: `got devices, want none of it: a sandbox has no devices of the machine`},
	{name: "a public port", in: `ports { internal = 80 }`, want: `got ports, want none of it: a sandbox's ports are not published on the machine`},
	{name: "a port for all", in: `ports { ip = "0.0.0.0" }`, want: `got ports, want none of it: a sandbox's ports are not published on the machine`},
	{name: "no seccomp", in: `security_opts = ["seccomp=unconfined"]`, want: `got an unconfined sandbox, want the engine's default profiles`},
	{name: "an upload", in: `upload { source = "/etc/shadow" }`, want: `got upload, want none of it: files come by bothy, not from the disk of the machine`},
}

const anchor = "  network_mode = var.bothy.network\n"

func TestTerraformThatIsNotAllowedIsRefused(t *testing.T) {
	for _, c := range refusedTerraform {
		t.Run(c.name, func(t *testing.T) {
			files := good()
			if c.add != "" {
				files["x.tf"] = c.add + "\n"
			} else {
				files["main.tf"] = strings.Replace(goodTerraform, anchor, anchor+"  "+c.in+"\n", 1)
			}
			got := problems(t, files)
			if len(got) == 0 {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(got[0], c.want) {
				t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), c.want)
			}
		})
	}
}

func TestTerraformThatIsAllowed(t *testing.T) {
	for name, in := range map[string]string{
		"a tmpfs":       `mounts { type = "tmpfs" }`,
		"text blocks":   "entrypoint = [<<-A\n    }}} provisioner \"x\" {\n  A\n  , <<B\n${1 + 1}\nB\n  ]",
		"comments":      "/* provisioner \"x\" {\n } */ // privileged = true\n  # pid_mode = 1",
		"a function":    `working_dir = format("%s-file(%d)", "x", 1)`,
		"an escape":     `working_dir = "\"} privileged = true $${file(1)}"`,
		"one-line body": `healthcheck { test = ["x", "}"] }`,
	} {
		t.Run(name, func(t *testing.T) {
			files := good()
			files["main.tf"] = strings.Replace(goodTerraform, anchor, anchor+"  "+in+"\n", 1)
			if got := problems(t, files); got != nil {
				t.Errorf("refused: %s", strings.Join(got, "\n"))
			}
		})
	}
}

func TestTerraformThatCannotBeReadIsRefused(t *testing.T) {
	for src, want := range map[string]string{
		`locals {`:                 "x.tf:1:8: got the end of the file, want Terraform that can be read",
		`locals }`:                 "x.tf:1:8: got an unexpected }, want Terraform that can be read",
		`locals { x = [1 }`:        "the end of the file",
		`locals { x = "a`:          "a string without an end",
		"locals { x = \"a\\\n\" }": "a string without an end",
		`locals { x = "${a" }`:     "a string without an end",
		"locals { x = <<EOT\na\n}": "a text block without its closing EOT",
		"locals { x = a << b }":    "<< that begins no text block",
		`/* never closed`:          "a comment without an end",
		"locals\n{\n}":             "an unexpected end of line",
		`"locals" {}`:              "an unexpected string",
		"\uFEFFlocals {}":          "the character",
		"locals { x = 1 }\x00":     "the character",
		"a {" + strings.Repeat("b {", 30) + strings.Repeat("}", 31):                                   "blocks nested too deep",
		"locals { x = " + strings.Repeat(`"${`, 30) + "1" + strings.Repeat(`}"`, 30) + " }":           "templates nested deeper than 20",
		"locals { x = " + strings.Repeat(`(`, 100_000) + "1" + strings.Repeat(`)`, 100_000) + " \n y": "the end of the file",
	} {
		files := good()
		files["x.tf"] = src
		got := problems(t, files)
		if len(got) == 0 || !strings.Contains(got[0], want) {
			t.Errorf("%.60q\n got %.300q\nwant %s", src, got, want)
		}
	}
}

// What bothy passes and reads must be there, and nothing be asked for that nobody gives.
func TestTerraformMustFitTheManifest(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"no variable bothy": {`variable "bothy" { type = any }`, "", `got no variable "bothy" in the *.tf files, want it, declared`},
		"no output":         {`output "bothy"`, `output "other"`, `got no output "bothy" in the *.tf files, want it, with the id`},
		"no variable":       {`variable "mode" { type = string }`, "", "got input mode without a variable of that name, want one in the *.tf files"},
		"a variable more":   {`variable "mode" {`, "variable \"more\" {}\nvariable \"mode\" {", `got variable "more" without an input of that name, want one in blueprint.yaml`},
		"no source":         {`docker = { source = "kreuzwerker/docker", version = ">= 4.0" }`, "", "a resource of provider docker, want that provider in required_providers, with its source"},
		"no host":           {`host = var.bothy.engine`, "", "got a provider without host, want host = var.bothy.engine"},
	} {
		files := good()
		files["main.tf"] = strings.Replace(goodTerraform, c.old, c.new, 1)
		if got := strings.Join(problems(t, files), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
	if diff := cmp.Diff([]string(nil), problems(t, good())); diff != "" {
		t.Errorf("the good one: %s", diff)
	}
}
