package blueprint_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refusedTerraform is what a blueprint may not hold: text added in a file of
// its own, or (with "in") put into the good container, or put instead of its network, and what is said of it.
var refusedTerraform = []struct{ name, add, in, instead, want string }{
	{name: "another provider", add: `terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}`, want: `got provider aws, want docker = { source = "kreuzwerker/docker", version = "..." } with no other key, written out`},
	{name: "the provider's name for another", add: `terraform {
  required_providers { docker = { version = "1", source : "evil/docker" } }
}`, want: `x.tf:2:50: got source of the provider: source = "evil/docker", want docker = { source = "kreuzwerker/docker"`},
	{name: "a source made up", add: `terraform {
  required_providers { docker = { source = "${"evil"}/e" } }
}`, want: `x.tf:2:35: got source of the provider: source = "${"evil"}/e", want docker`},
	{name: "two sources", add: `terraform {
  required_providers { docker = { source = "kreuzwerker/docker", "source" = "evil/e" } }
}`, want: `x.tf:2:66: got source of the provider: "source" = "evil/e", want docker`},
	{name: "two sources, the good one last", add: `terraform {
  required_providers { docker = { "source" = "evil/e", source = "kreuzwerker/docker" } }
}`, want: `x.tf:2:35: got source of the provider: "source" = "evil/e", want docker`},
	{name: "one source twice", add: `terraform {
  required_providers { docker = { source = "kreuzwerker/docker", source = "kreuzwerker/docker" } }
}`, want: `x.tf:2:66: got source of the provider: source = "kreuzwerker/docker", want docker`},
	{name: "a version only", add: `terraform {
  required_providers { external = "~> 2" }
}`, want: `x.tf:2:24: got provider external, want docker = {`},
	{name: "a remote backend", add: `terraform {
  backend "s3" {}
}`, want: `x.tf:2:3: got a backend block in terraform, want required_version and required_providers only: bothy keeps the state`},
	{name: "a cloud", add: `terraform { 
  cloud { organization = "x" }
}`, want: `x.tf:2:3: got a cloud block in terraform, want required_version and required_providers only: bothy keeps the state`},
	{name: "experiments", add: `terraform { experiments = [x] }`, want: `x.tf:1:13: got experiments = [x] in terraform, want required_version and required_providers only`},
	{name: "a remote module", add: `module "m" { source = "git::https://example.com/x.git" }`, want: `x.tf:1:1: got a module block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "a local module", add: `module "m" { source = "./m" }`, want: `x.tf:1:1: got a module block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "external data", add: `data "external" "x" { program = ["sh"] }`, want: `x.tf:1:1: got a data block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "external data, spread", add: "data \\\n", want: `x.tf:1:6: got invalid character: This character is not used within the language., want Terraform that can be read`},
	{name: "an import", add: `import { to = docker_container.x }`, want: `x.tf:1:1: got a import block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "an action", add: `action "docker_exec" "x" {}`, want: `x.tf:1:1: got a action block, want one of terraform, provider, variable, output, locals, resource`},
	{name: "a provider not declared", add: `provider "external" {}`, want: `x.tf:1:1: got a provider block for external, want one for a provider of required_providers`},
	{name: "another engine", add: "provider \"docker\" {\n  alias = \"b\"\n  host = \"tcp://10.0.0.1:2375\"\n}", want: `x.tf:2:3: got alias = "b", want host = var.bothy.engine and nothing else`},
	{name: "registry credentials", add: "provider \"docker\" {\n  host = var.bothy.engine\n  registry_auth { address = \"x\" }\n}", want: `x.tf:3:3: got a registry_auth block in provider, want host = var.bothy.engine and nothing else`},
	{name: "a resource of the builder", add: `resource "docker_image" "x" {}`, want: `x.tf:1:1: got resource docker_image x, want one of docker_container, docker_volume, terraform_data`},
	{name: "a file", add: `resource "local_file" "x" {}`, want: `x.tf:1:1: got resource local_file x, want one of docker_container, docker_volume, terraform_data`},
	{name: "a network of its own", add: `resource "docker_network" "x" {}`, want: `x.tf:1:1: got resource docker_network x, want one of docker_container, docker_volume, terraform_data`},
	{name: "another provider for a resource", add: "resource \"docker_volume\" \"x\" {\n  provider = evil\n}", want: `x.tf:2:3: got provider = evil, want provider = docker`},
	{name: "a program", add: "resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" { command = \"id\" }\n}", want: `x.tf:2:3: got provisioner, want none of it: what runs programs has no place in a blueprint`},
	{name: "a program, label not quoted", add: "resource \"terraform_data\" \"x\" {\n  provisioner local-exec {}\n}", want: `x.tf:2:3: got provisioner, want none of it`},
	{name: "reading a file", add: `locals { x = file("/etc/passwd") }`, want: `x.tf:1:14: got the function file, want none that reads files`},
	{name: "reading a file in a string", add: `locals { x = "a ${ "b ${templatefile ("/x", {})}" }" }`, want: `x.tf:1:25: got the function templatefile, want none that reads files`},
	{name: "reading a file in a text block", add: "locals {\n  x = <<-EOT\n    %{ if fileexists(\"/x\") }y%{ endif }\n  EOT\n}", want: `x.tf:3:11: got the function fileexists, want none that reads files`},
	{name: "a container on the default network", add: `resource "docker_container" "x" {}`, want: `x.tf:1:1: got docker_container x without network_mode, want it: add network_mode = var.bothy.network`},
	{name: "a stray attribute", add: `x = 1`, want: `x.tf:1:1: got the attribute x outside of any block, want blocks`},

	{name: "privileged", in: `privileged = true`, want: `got privileged, want none of it: a privileged container owns the machine`},
	{name: "the host's network", instead: `network_mode = "host"`, want: `got network_mode = "host", want var.bothy.network or "none", written out`},
	{name: "another network", in: `networks_advanced { name = "bridge" }`, want: `got networks_advanced, want none of it: a sandbox joins its own network by network_mode`},
	{name: "a host name", in: `hostname = "x"`, want: `got hostname, want none of it: a sandbox has the host name of its network`},
	{name: "the host's processes", in: `pid_mode = "host"`, want: `got pid_mode, want none of it: a sandbox sees no processes but its own`},
	{name: "shared memory", in: `ipc_mode = "host"`, want: `got ipc_mode = "host", want "private", written out`},
	{name: "the socket", in: `volumes { host_path = "/var/run/docker.sock" }`, want: `got host_path, want none of it: a sandbox sees no directory of the machine`},
	{name: "a bind mount", in: `mounts { type = "bind" }`, want: `got type = "bind", want "volume", written out`},
	{name: "a bind mount made up", in: `mounts { type = "${"bind"}" }`, want: `got type = "${"bind"}", want "volume", written out`},
	{name: "a dynamic bind mount", in: "dynamic \"mounts\" {\n for_each = [1]\n content { type = \"bind\" }\n }", want: `got dynamic mounts, want mounts written out: dynamic is for labels and ulimit alone`},
	{name: "a dynamic device", in: "dynamic \"devices\" {\n for_each = [1]\n content { }\n }", want: `got devices, want none of it: a sandbox has no devices of the machine`},
	{name: "a public port", in: `ports { internal = 80 }`, want: `got ports, want none of it: a sandbox's ports are not published on the machine`},
	{name: "a port for all", in: `ports { ip = "0.0.0.0" }`, want: `got ports, want none of it: a sandbox's ports are not published on the machine`},
	{name: "no seccomp", in: `security_opts = ["seccomp=unconfined"]`, want: `got security_opts = ["seccomp=unconfined"], want var.bothy.security_opts, written out`},
	{name: "an upload", in: `upload { source = "/etc/shadow" }`, want: `got upload, want none of it: files come by bothy, not from the disk of the machine`},
}

const anchor = "  network_mode = var.bothy.network\n"

// within is the good container with something put into it, in place of attributes of the same names.
func within(text string) string {
	terraform := goodTerraform
	for line := range strings.Lines(text) {
		name, _, isAttribute := strings.Cut(strings.TrimSpace(line), " = ")
		re := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(name) + ` += .*\n`)
		if isAttribute && name != "network_mode" && !strings.HasPrefix(line, "   ") {
			terraform = re.ReplaceAllString(terraform, "")
		}
	}
	return strings.Replace(terraform, anchor, anchor+"  "+text+"\n", 1)
}

func TestTerraformThatIsNotAllowedIsRefused(t *testing.T) {
	for _, c := range refusedTerraform {
		t.Run(c.name, func(t *testing.T) {
			files := good()
			switch {
			case c.add != "":
				files["x.tf"] = c.add + "\n"
			case c.instead != "":
				files["main.tf"] = strings.Replace(goodTerraform, anchor, "  "+c.instead+"\n", 1)
			default:
				files["main.tf"] = within(c.in)
			}
			got := problems(t, files)
			if len(got) == 0 {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(strings.Join(got, "\n"), c.want) {
				t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), c.want)
			}
		})
	}
}

// allowedTerraform is what a container may hold.
var allowedTerraform = map[string]string{
	"a folder in memory":           `tmpfs = { "/run/bothy" = "nosuid,nodev,noexec,mode=0700", "/tmp" = "rw,nosuid,nodev,size=64m", "/var/tmp" = "nosuid,nodev" }`,
	"text blocks":                  "entrypoint = [<<-A\n    }}} provisioner \"x\" {\n  A\n  , <<B\n${1 + 1}\nB\n  ]",
	"comments":                     "/* provisioner \"x\" {\n } */ // privileged = true\n  # pid_mode = 1",
	"a function":                   `working_dir = format("%s-file(%d)", "x", 1)`,
	"an escape":                    `working_dir = "/\"} privileged = true $${file(1)}"`,
	"one-line body":                `healthcheck { test = ["x", "}"] }`,
	"a health check within bounds": "healthcheck {\n    test = [\"CMD\", \"true\"]\n    interval = \"30s\"\n    timeout = \"5s\"\n    retries = 3\n    start_period = \"0s\"\n  }",
	"bothy's security options":     `security_opts = var.bothy.security_opts`,
	"bothy's limits":               "dynamic \"ulimit\" {\n    for_each = var.bothy.ulimits\n    content {\n      name = ulimit.value.name\n      soft = ulimit.value.soft\n      hard = ulimit.value.hard\n    }\n  }",
	"capabilities for root":        "capabilities {\n    drop = [\"ALL\"]\n    add = var.bothy.root ? [\"CHOWN\", \"SETUID\"] : []\n  }",
	"inputs in the environment":    `user = var.mode == "fast" ? "0:0" : "65534:65534"`,
	"a loop":                       `entrypoint = concat(["run"], [for k, v in { a = var.tag, b = "x" } : "${k}=${upper(v)}" if k != "c"])`,
	"changes that do not matter":   "lifecycle {\n    ignore_changes = [labels, env]\n  }",
	"all changes":                  "lifecycle {\n    ignore_changes = all\n  }",
	"bounds":                       "stop_timeout = 10\n  destroy_grace_seconds = 0\n  cpu_shares = 512\n  shm_size = var.shm\n  read_only = true\n  remove_volumes = true",
	"logs":                         "log_driver = \"json-file\"\n  log_opts = { max-size = \"10m\", \"max-file\" = \"3\" }",
	"a part of the size":           "memory = floor(var.bothy.memory_mib / 2)\n  memory_swap = floor(var.bothy.memory_mib / 2)\n  cpu_quota = floor(var.bothy.cpus * 50000)",
	"a volume":                     "volumes {\n    volume_name = docker_volume.cache.name\n    container_path = \"/cache\"\n  }\n  mounts {\n    type = \"volume\"\n    source = docker_volume.each[0].name\n    target = \"/data\"\n  }",
}

// allowedVolumes are volumes that containers of the tests above have.
const allowedVolumes = `
resource "docker_volume" "cache" {
  name = "${var.bothy.name}-cache"
  dynamic "labels" {
    for_each = var.bothy.labels
    content {
      label = labels.key
      value = labels.value
    }
  }
}
resource "docker_volume" "each" {
  count = 2
  name  = "${var.bothy.name}-${count.index}"
  dynamic "labels" {
    for_each = var.bothy.labels
    content {
      label = labels.key
      value = labels.value
    }
  }
}
resource "docker_volume" "named" {
  for_each   = toset(["a", "b"])
  name       = "${var.bothy.name}-${each.key}"
  depends_on = [docker_volume.cache]
  dynamic "labels" {
    for_each = var.bothy.labels
    content {
      label = labels.key
      value = labels.value
    }
  }
}
resource "terraform_data" "note" {
  count = var.bothy.root ? 1 : 0
  input = { container = docker_container.web.id, mode = var.mode }
}
locals {
  words = [for w in split(" ", "a b c") : { name = w, long = length(w) > 1 }]
  first = local.words[0].name
}
`

func TestTerraformThatIsAllowed(t *testing.T) {
	for name, in := range allowedTerraform {
		t.Run(name, func(t *testing.T) {
			files := good()
			files["main.tf"] = within(in)
			files["volumes.tf"] = allowedVolumes
			files[".terraform.lock.hcl"] = "provider \"registry.terraform.io/kreuzwerker/docker\" {\n  version     = \"4.6.0\"\n  constraints = \">= 4.0.0\"\n  hashes = [\n    \"h1:abc=\",\n  ]\n}\n"
			if got := problems(t, files); got != nil {
				t.Errorf("refused: %s", strings.Join(got, "\n"))
			}
		})
	}
}

func TestTerraformThatCannotBeReadIsRefused(t *testing.T) {
	for src, want := range map[string]string{
		`locals {`:                 "x.tf:1:8: got unclosed configuration block: ",
		`locals }`:                 "x.tf:1:1: got argument or block definition required",
		`locals { x = [1 }`:        "x.tf:1:17: got missing item separator",
		`locals { x = "a`:          "x.tf:1:16: got unterminated template string",
		"locals { x = \"a\\\n\" }": "x.tf:1:16: got invalid character",
		`locals { x = "${a" }`:     "x.tf:1:15: got unclosed template interpolation sequence",
		"locals { x = <<EOT\na\n}": "x.tf:3:2: got unterminated template string",
		"locals { x = a << b }":    "x.tf:1:17: got invalid expression",
		`/* never closed`:          "x.tf:1:1: got argument or block definition required",
		"locals\n{\n}":             "x.tf:1:1: got argument or block definition required",
		`"locals" {}`:              "x.tf:1:1: got invalid argument name",
		"\uFEFFlocals {}":          "x.tf:1:1: got the character U+FEFF, want plain text",
		"locals {\n  x = 1\r\n}":   "x.tf:2:8: got the character U+000D, want plain text",
		"# a\n# \u202ex\n":         "x.tf:2:3: got the character U+202E, want plain text",
		"locals {} # \x00":         "x.tf:1:13: got the character U+0000, want plain text",
		"locals {} # \xff":         "x.tf:1:13: got the byte 0xff, which is not UTF-8",
		"a {" + strings.Repeat("b {", 30) + strings.Repeat("}", 31):                                        "nesting deeper than 30",
		"locals { x = " + strings.Repeat(`"${`, 30) + "1" + strings.Repeat(`}"`, 30) + " }":                "nesting deeper than 30",
		"locals { x = " + strings.Repeat(`(`, 20_000) + "1" + " \n y":                                      "nesting deeper than 30",
		"locals { x = " + strings.Repeat(`!`, 20_000) + "true }":                                           "more than 250 parts in a row",
		"locals { x = (" + strings.Repeat("!\n", 10_000) + "true) }":                                       "more than 250 parts in a row",
		"locals { x = {for k in [1] : k => (" + strings.Repeat("!\n", 10_000) + "true)} }":                 "more than 250 parts in a row",
		"locals { x = " + strings.Repeat(`true ? 1 : `, 300) + "2 }":                                       "more than 250 parts in a row",
		"locals { x = \"" + strings.Repeat(`%{ if true }`, 40) + strings.Repeat(`%{ endif }`, 40) + "\" }": "more than 30 template directives",
		"locals { x = " + strings.Repeat(`(`, 100_000) + "1" + strings.Repeat(`)`, 100_000) + " \n y":      "more than 30000 words and signs",
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
		"no output":         {`output "bothy" { value = { id = docker_container.web.id } }`, ``, `got no output "bothy" in the *.tf files, want it, with the id`},
		"another output":    {`output "bothy"`, `output "other"`, `got output other, want output "bothy" alone`},
		"no provider block": {"provider \"docker\" {\n  host = var.bothy.engine\n}", "", `got no provider "docker" block in the *.tf files, want it, with host`},
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
