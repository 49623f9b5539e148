package blueprinttest

import (
	"fmt"
	"strings"
)

// second is a container beside the sandbox.
const second = "name = \"${var.bothy.name}-2\"\n  image = var.bothy.image\n  network_mode = \"none\"\n  "

var cases = []struct {
	kind, name, attribute string
	edit                  edit
}{
	// Networks: the host's, the engine's default, another container's, and ports on the machine.
	{"network", "net-host", "network_mode", set("network_mode", `"host"`)},
	{"network", "net-dead-branch", "network_mode", set("network_mode", `"%{ if false }none%{ endif }${"host"}"`)},
	{"network", "net-bridge-dead-branch", "network_mode", set("network_mode", `"%{ if false }none%{ endif }${"bridge"}"`)},
	{"network", "net-condition", "network_mode", set("network_mode", `true ? "host" : "none"`)},
	{"network", "net-of-container", "network_mode", set("network_mode", `"container:bothy-net-1"`)},
	{"network", "net-by-input", "network_mode", then(input("target"), set("network_mode", "var.target"))},
	{"network", "net-by-local", "network_mode", then(add("main.tf", "locals {\n  n = \"host\"\n}"), set("network_mode", "local.n"))},
	{"network", "net-left-out", "network_mode", drop("network_mode")},
	{"network", "net-published-ports", "ports", put("ports {\n    internal = 22\n    external = 18098\n  }")},
	{"network", "net-publish-all", "publish_all_ports", set("publish_all_ports", "true")},
	{"network", "net-advanced", "networks_advanced", put("networks_advanced {\n    name = \"bridge\"\n  }")},
	{"network", "net-own-network", "docker_network", resource("docker_network", "n", "name = var.bothy.name")},
	{"network", "net-dns", "dns", set("dns", `["127.0.0.1"]`)},
	{"network", "net-hosts-file", "host", put("host {\n    host = \"registry\"\n    ip   = \"10.0.0.1\"\n  }")},

	// Folders and volumes of the machine and of others.
	{"mounts", "mount-root", "type", put("mounts {\n    type   = \"bind\"\n    source = \"/\"\n    target = \"/host\"\n  }")},
	{"mounts", "mount-dead-branch", "type", put("mounts {\n    type   = \"%{ if false }volume%{ endif }${\"bind\"}\"\n    source = \"/\"\n    target = \"/host\"\n  }")},
	{"mounts", "mount-host-path", "host_path", put("volumes {\n    host_path      = \"/var/run/docker.sock\"\n    container_path = \"/s\"\n  }")},
	{"mounts", "mount-volume-is-a-path", "volume_name", put("volumes {\n    volume_name    = \"/\"\n    container_path = \"/host\"\n  }")},
	{"mounts", "mount-volume-is-the-socket", "volume_name", put("volumes {\n    volume_name    = \"/var/run/docker.sock\"\n    container_path = \"/s\"\n  }")},
	{"mounts", "mount-foreign-volume", "volume_name", put("volumes {\n    volume_name    = \"foreign-vol\"\n    container_path = \"/v\"\n  }")},
	{"mounts", "mount-by-input", "volume_name", then(input("target"), put("volumes {\n    volume_name    = var.target\n    container_path = \"/v\"\n  }"))},
	{"mounts", "mount-by-input-after-name", "volume_name", then(input("target"), put("volumes {\n    volume_name    = trimprefix(\"${var.bothy.name}${var.target}\", var.bothy.name)\n    container_path = \"/v\"\n  }"))},
	{"mounts", "mount-source-foreign", "source", put("mounts {\n    type   = \"volume\"\n    source = \"foreign-vol\"\n    target = \"/v\"\n  }")},
	{"mounts", "mount-from-container", "from_container", put("volumes {\n    from_container = \"foreign\"\n  }")},
	{"mounts", "mount-volume-options", "volume_options", put("mounts {\n    type   = \"volume\"\n    target = \"/v\"\n    volume_options {\n      driver_name    = \"local\"\n      driver_options = { type = \"none\", o = \"bind\", device = \"/\" }\n    }\n  }")},
	{"mounts", "mount-volume-driver-options", "driver_opts", resource("docker_volume", "v", "name = \"${var.bothy.name}-v\"\n  driver_opts = { type = \"none\", o = \"bind\", device = \"/\" }")},
	{"mounts", "mount-upload", "upload", put("upload {\n    file   = \"/x\"\n    source = \"/etc/shadow\"\n  }")},

	// Where bothy puts secrets.
	{"secrets", "secret-volume", "container_path", then(drop("tmpfs"), resource("docker_volume", "v", "name = \"${var.bothy.name}-v\""), put("volumes {\n    volume_name    = docker_volume.v.name\n    container_path = \"/run/bothy\"\n  }"))},
	{"secrets", "secret-volume-above", "container_path", then(resource("docker_volume", "v", "name = \"${var.bothy.name}-v\""), put("volumes {\n    volume_name    = docker_volume.v.name\n    container_path = \"/run\"\n  }"))},
	{"secrets", "secret-mount", "target", then(resource("docker_volume", "v", "name = \"${var.bothy.name}-v\""), put("mounts {\n    type   = \"volume\"\n    source = docker_volume.v.name\n    target = \"/run/bothy\"\n  }"))},
	{"secrets", "secret-labels-in-env", "labels", set("env", `[for k, v in var.bothy.labels : "${k}=${v}"]`)},
	{"secrets", "secret-all-of-bothy", "var.bothy", set("env", `["B=${jsonencode(var.bothy)}"]`)},
	{"secrets", "secret-labels-by-index", "labels", set("env", `["B=${jsonencode(var.bothy["labels"])}"]`)},
	{"secrets", "secret-labels-of-resource", "docker_volume", then(resource("docker_volume", "v", "name = \"${var.bothy.name}-v\""), set("env", `["B=${jsonencode(docker_volume.v)}"]`))},
	{"secrets", "secret-state-folder", "path.cwd", set("env", `["D=${path.cwd}"]`)},

	// Capabilities and privileges.
	{"capabilities", "cap-sysadmin", "add", swap("capabilities", "capabilities {\n    add = [\"SYS_ADMIN\"]\n  }")},
	{"capabilities", "cap-all", "add", swap("capabilities", "capabilities {\n    add = [\"ALL\"]\n  }")},
	{"capabilities", "cap-made-up", "add", swap("capabilities", "capabilities {\n    drop = [\"ALL\"]\n    add  = [\"NET_${\"RAW\"}\"]\n  }")},
	{"capabilities", "cap-by-local", "add", then(add("main.tf", "locals {\n  more = [\"NET_RAW\"]\n}"), swap("capabilities", "capabilities {\n    drop = [\"ALL\"]\n    add  = local.more\n  }"))},
	{"capabilities", "cap-by-concat", "add", swap("capabilities", "capabilities {\n    drop = [\"ALL\"]\n    add  = concat([\"CHOWN\"], [\"NET_ADMIN\"])\n  }")},
	{"capabilities", "cap-drop-little", "drop", swap("capabilities", "capabilities {\n    drop = [\"MKNOD\"]\n  }")},
	{"capabilities", "cap-dynamic", "capabilities", swap("capabilities", "dynamic \"capabilities\" {\n    for_each = [1]\n    content {\n      add = [\"NET_RAW\"]\n    }\n  }")},
	{"capabilities", "cap-privileged", "privileged", set("privileged", "true")},

	{"security", "sec-unconfined", "security_opts", set("security_opts", `["seccomp=unconfined"]`)},
	{"security", "sec-unconfined-made-up", "security_opts", set("security_opts", `["no-new-privileges:true", "seccomp=unconf${"ined"}"]`)},
	{"security", "sec-systempaths", "security_opts", set("security_opts", `["no-new-privileges:true", "systempaths=unconf${"ined"}"]`)},
	{"security", "sec-escaped", "security_opts", set("security_opts", `["no-new-privileges:true", "seccomp=\u0075nconfined"]`)},
	{"security", "sec-inline-profile", "security_opts", set("security_opts", `["no-new-privileges:true", "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"]`)},
	{"security", "sec-new-privileges", "security_opts", set("security_opts", `["no-new-privileges:false"]`)},
	{"security", "sec-none", "security_opts", set("security_opts", `[]`)},

	{"namespaces", "ns-ipc", "ipc_mode", set("ipc_mode", `"host"`)},
	{"namespaces", "ns-ipc-dead-branch", "ipc_mode", set("ipc_mode", `"%{ if false }private%{ endif }${"host"}"`)},
	{"namespaces", "ns-ipc-container", "ipc_mode", set("ipc_mode", `"container:foreign"`)},
	{"namespaces", "ns-pid", "pid_mode", set("pid_mode", `"host"`)},
	{"namespaces", "ns-user", "userns_mode", set("userns_mode", `"host"`)},
	{"namespaces", "ns-cgroup", "cgroupns_mode", set("cgroupns_mode", `"host"`)},
	{"namespaces", "ns-cgroup-parent", "cgroup_parent", set("cgroup_parent", `"/"`)},

	{"devices", "dev-disk", "devices", put("devices {\n    host_path = \"/dev/sda\"\n  }")},
	{"devices", "dev-dynamic", "devices", put("dynamic \"devices\" {\n    for_each = [1]\n    content {\n      host_path = \"/dev/mem\"\n    }\n  }")},
	{"devices", "dev-gpus", "gpus", set("gpus", `"all"`)},
	{"devices", "dev-cgroup-rules", "device_cgroup_rules", set("device_cgroup_rules", `["a *:* rwm"]`)},
	{"devices", "dev-runtime", "runtime", set("runtime", `"nvidia"`)},
	{"devices", "dev-sysctls", "sysctls", set("sysctls", `{ "net.ipv4.ip_forward" = "1" }`)},
	{"devices", "dev-group-add", "group_add", set("group_add", `["6"]`)},

	{"limits", "limit-memory", "memory", set("memory", "64000")},
	{"limits", "limit-swap", "memory_swap", set("memory_swap", "-1")},
	{"limits", "limit-quota", "cpu_quota", set("cpu_quota", "-1")},
	{"limits", "limit-quota-more", "cpu_quota", set("cpu_quota", "floor(var.bothy.cpus * 1000000)")},
	{"limits", "limit-quota-squared", "cpu_quota", set("cpu_quota", "floor(var.bothy.cpus * 100000 * 100000)")},
	{"limits", "limit-period", "cpu_period", set("cpu_period", "1000")},
	{"limits", "limit-cpus", "cpus", set("cpus", `"64"`)},
	{"limits", "limit-shm", "shm_size", set("shm_size", "1000000")},
	{"limits", "limit-ulimit-none", "ulimit", put("ulimit {\n    name = \"nproc\"\n    soft = -1\n    hard = -1\n  }")},
	{"limits", "limit-ulimit-priority", "ulimit", put("ulimit {\n    name = \"rtprio\"\n    soft = 99\n    hard = 99\n  }")},
	{"limits", "limit-health-storm", "interval", put("healthcheck {\n    test     = [\"CMD\", \"true\"]\n    interval = \"1ms\"\n  }")},

	// Names of what is not the environment's, and things that it would take over.
	{"names", "name-container", "name", set("name", `"bothy-net-1"`)},
	{"names", "name-foreign-volume", "name", resource("docker_volume", "v", `name = "foreign-vol"`)},
	{"names", "name-by-input", "name", then(input("target"), resource("docker_volume", "v", "name = var.target"))},
	{"names", "name-input-after-own", "name", then(input("target"), resource("docker_volume", "v", `name = "${var.bothy.name}${var.target}"`))},
	{"names", "name-of-holders", "name", resource("docker_volume", "v", "count = 2\n  name = \"bothy-${var.bothy.instance}-net-${count.index}\"")},
	{"names", "name-dead-branch", "name", resource("docker_volume", "v", `name = "%{ if false }${var.bothy.name}%{ endif }foreign"`)},
	{"names", "name-left-out", "labels", swap("labels", "labels {\n    label = \"x\"\n    value = \"y\"\n  }")},
	{"names", "name-labels-other", "labels", swap("labels", "dynamic \"labels\" {\n    for_each = { \"bothy.env\" = \"other\" }\n    content {\n      label = labels.key\n      value = labels.value\n    }\n  }")},
	{"names", "name-label-of-bothy", "label", put("labels {\n    label = \"bothy.environment\"\n    value = \"other\"\n  }")},
	{"names", "name-import", "import", add("main.tf", "import {\n  to = docker_container.sandbox\n  id = \"foreign\"\n}")},

	{"outputs", "out-id-by-input", "value", then(input("target"), file("outputs.tf", "output \"bothy\" {\n  value = { id = var.target == \"\" ? docker_container.sandbox.id : var.target }\n}\n"))},
	{"outputs", "out-id-literal", "value", file("outputs.tf", "output \"bothy\" {\n  value = { id = \"0123456789ab\" }\n}\n")},
	{"outputs", "out-id-prefix", "value", file("outputs.tf", "output \"bothy\" {\n  value = { id = substr(docker_container.sandbox.id, 0, 2) }\n}\n")},
	{"outputs", "out-more", "output labels", add("outputs.tf", "output \"labels\" {\n  value = var.bothy.labels\n}")},
	{"outputs", "out-precondition", "precondition", file("outputs.tf", "output \"bothy\" {\n  value = { id = docker_container.sandbox.id }\n  precondition {\n    condition     = false\n    error_message = jsonencode(var.bothy.labels)\n  }\n}\n")},

	{"images", "image-foreign", "image", set("image", `"postgres:16"`)},
	{"images", "image-by-input", "image", then(input("target"), set("image", `var.target`))},
	{"images", "image-pull", "docker_image", resource("docker_image", "i", `name = "postgres:16"`)},
	{"images", "image-condition", "image", set("image", `var.bothy.root ? "postgres:16" : var.bothy.image`)},

	{"providers", "provider-source-condition", "source", provider("  required_providers {\n    docker = { source = \"kreuzwerker/docker\" == \"\" ? \"\" : \"localhost:8443/foreign/docker\", version = \">= 4.0\" }\n  }", goodProvider)},
	{"providers", "provider-source-twice", "source", provider("  required_providers {\n    docker = { source = \"kreuzwerker/docker\"\n      \"sourc\\u0065\" = \"localhost:8443/foreign2/docker\" }\n  }", goodProvider)},
	{"providers", "provider-source-key-computed", "source", provider("  required_providers {\n    docker = { (\"source\") = \"localhost:8443/foreign/docker\" }\n  }", goodProvider)},
	{"providers", "provider-another", "provider external", provider("  required_providers {\n    docker = { source = \"kreuzwerker/docker\" }\n    external = { source = \"hashicorp/external\" }\n  }", goodProvider)},
	{"providers", "provider-required-twice", "required_providers", then(provider(goodRequired, goodProvider), add("versions.tf", "terraform {\n"+goodRequired+"\n}"))},
	{"providers", "provider-host", "host", provider(goodRequired, "provider \"docker\" {\n  host = \"unix:///var/run/docker.sock\"\n}")},
	{"providers", "provider-host-by-input", "host", then(input("target"), provider(goodRequired, "provider \"docker\" {\n  host = var.target\n}"))},
	{"providers", "provider-alias", "alias", then(provider(goodRequired, goodProvider), add("versions.tf", "provider \"docker\" {\n  alias = \"b\"\n  host  = var.bothy.engine\n}"))},
	{"providers", "provider-left-out", "provider", provider(goodRequired, "")},
	{"providers", "provider-registry-auth", "registry_auth", provider(goodRequired, "provider \"docker\" {\n  host = var.bothy.engine\n  registry_auth {\n    address = \"localhost:5000\"\n  }\n}")},
	{"providers", "provider-locked-foreign", "provider", file(".terraform.lock.hcl", "provider \"localhost:8443/foreign/docker\" {\n  version = \"4.0.0\"\n}\n")},
	{"providers", "provider-backend", "backend", provider(goodRequired+"\n  backend \"http\" {\n    address = \"http://10.0.0.1/\"\n  }", goodProvider)},
	{"providers", "provider-module", "module", add("main.tf", "module \"m\" {\n  source = \"git::https://example.com/m.git\"\n}")},
	{"providers", "provider-data-external", "data", add("main.tf", "data \"external\" \"x\" {\n  program = [\"id\"]\n}")},

	{"functions", "fn-file", "file", set("env", `["X=${file("/etc/shadow")}"]`)},
	{"functions", "fn-file-newline", "file", set("env", "[\"X=${file(\n\"/etc/shadow\")}\"]")},
	{"functions", "fn-file-glued", "file", set("env", `["X=${1-file("/etc/shadow")}"]`)},
	{"functions", "fn-file-core", "core::file", set("env", `["X=${core::file("/etc/shadow")}"]`)},
	{"functions", "fn-fileset", "fileset", set("env", `[join(",", fileset("/root", "*"))]`)},
	{"functions", "fn-templatefile", "templatefile", set("env", "[<<-EOT\n    %{ for x in [1] }${templatefile(\"/etc/hostname\", {})}%{ endfor }\n  EOT\n  ]")},
	{"functions", "fn-templatestring", "templatestring", set("env", `[templatestring(var.bothy.name, {})]`)},
	{"functions", "fn-bcrypt", "bcrypt", set("env", `["X=${bcrypt("x", 24)}"]`)},
	{"functions", "fn-setproduct", "setproduct", set("env", `["X=${length(setproduct([1], [2]))}"]`)},
	{"functions", "fn-range", "range", set("env", `["X=${length(range(1000000))}"]`)},
	{"functions", "fn-format-wide", "format", set("env", `["X=${format("%-2000000000s", "x")}"]`)},
	{"functions", "fn-format-by-input", "format", then(input("target"), set("env", `["X=${format(var.target, "x")}"]`))},
	{"functions", "fn-yamldecode", "yamldecode", set("env", `["X=${yamldecode("a: 1").a}"]`)},
	{"functions", "fn-in-key", "file", set("env", `keys({ (file("/etc/shadow")) = 1 })`)},
	{"functions", "fn-in-default", "file", file("variables.tf", strings.Replace(Builtin()["variables.tf"], "type        = number", "type        = optional(number, file(\"/etc/shadow\"))", 1))},

	{"lifecycle", "life-provisioner", "provisioner", put("provisioner \"local-exec\" {\n    command = \"id\"\n  }")},
	{"lifecycle", "life-connection", "connection", put("connection {\n    host = \"10.0.0.1\"\n  }")},
	{"lifecycle", "life-prevent-destroy", "prevent_destroy", put("lifecycle {\n    prevent_destroy = true\n  }")},
	{"lifecycle", "life-postcondition", "postcondition", put("lifecycle {\n    postcondition {\n      condition     = self.id == \"\"\n      error_message = jsonencode(self.labels)\n    }\n  }")},
	{"lifecycle", "life-restart", "restart", set("restart", `"always"`)},
	{"lifecycle", "life-second-without-labels", "labels", add("main.tf", "resource \"docker_container\" \"s\" {\n  "+second+"\n}")},
	{"lifecycle", "life-remove-volumes", "remove_volumes", set("remove_volumes", "false")},
	{"lifecycle", "life-rm", "rm", set("rm", "true")},
	{"lifecycle", "life-not-started", "start", set("start", "false")},
	{"lifecycle", "life-must-not-run", "must_run", set("must_run", "false")},
	{"lifecycle", "life-grace", "destroy_grace_seconds", set("destroy_grace_seconds", "86400")},
	{"lifecycle", "life-stop-timeout", "stop_timeout", set("stop_timeout", "86400")},
	{"lifecycle", "life-ignores-computed", "ignore_changes", put("lifecycle {\n    ignore_changes = [file(\"/etc/shadow\")]\n  }")},
	{"lifecycle", "life-removed", "removed", add("main.tf", "removed {\n  from = docker_container.other\n  lifecycle {\n    destroy = false\n  }\n}")},
	{"lifecycle", "life-validation", "validation", add("variables.tf", "variable \"x\" {\n  type = string\n  validation {\n    condition     = false\n    error_message = jsonencode(var.bothy.labels)\n  }\n}")},

	{"logging", "log-syslog", "log_driver", set("log_driver", `"syslog"`)},
	{"logging", "log-journald", "log_driver", set("log_driver", `"journald"`)},
	{"logging", "log-address", "log_opts", set("log_opts", `{ "syslog-address" = "tcp://127.0.0.1:5514" }`)},
	{"logging", "log-huge", "log_opts", set("log_opts", `{ max-size = "500g", max-file = "3" }`)},
	{"logging", "log-many", "log_opts", set("log_opts", `{ max-size = "10m", max-file = "10000" }`)},

	{"files", "file-override", "override.tf", file("override.tf", "locals {\n  x = 1\n}\n")},
	{"files", "file-override-by-name", "zz_override.tf", file("zz_override.tf", "locals {\n  x = 1\n}\n")},
	{"files", "file-json", "x.tf.json", file("x.tf.json", `{"data": {"external": {"x": {"program": ["id"]}}}}`)},
	{"files", "file-json-override", "override.tf.json", file("override.tf.json", `{}`)},
	{"files", "file-tofu", "main.tofu", file("main.tofu", "")},
	{"files", "file-values", "x.auto.tfvars", file("x.auto.tfvars", "bothy = 1\n")},
	{"files", "file-nul", "U+0000", add("main.tf", "# \x00")},
	{"files", "file-bidi", "U+202E", add("main.tf", "# \u202e")},

	{"bombs", "bomb-count", "count", resource("docker_volume", "v", "count = 300\n  name = \"${var.bothy.name}-${count.index}\"")},
	{"bombs", "bomb-count-by-input", "count", resource("docker_volume", "v", "count = var.shm_mib\n  name = \"${var.bothy.name}-${count.index}\"")},
	{"bombs", "bomb-for-each", "for_each", resource("docker_volume", "v", "for_each = { for i in [1, 2] : \"x${i}\" => i }\n  name = \"${var.bothy.name}-${each.key}\"")},
	{"bombs", "bomb-many", "resources", then(resource("docker_volume", "a", "count = 10\n  name = \"${var.bothy.name}-a${count.index}\""), resource("docker_volume", "b", "count = 10\n  name = \"${var.bothy.name}-b${count.index}\""))},
	{"bombs", "bomb-locals", "x29", add("main.tf", doubling(30))},
	{"bombs", "bomb-loop", "env", set("env", nested(8))},
	{"bombs", "bomb-join", "env", set("env", `[join(join(join("aaaaaaaaaaaaaaaaaaaaaaaa", split("", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")), split("", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")), split("", "ccccccccccccccccccccccccccccccccccccccccccc"))]`)},
	{"bombs", "bomb-format-again", "env", set("env", `[format("`+strings.Repeat("%[1]999s", 2000)+`", "x")]`)},
	{"bombs", "bomb-many-locals", "all values together", add("main.tf", "locals {\n  x = \""+strings.Repeat("y", 60_000)+"\"\n"+manyLocals(100)+"}")},
	{"bombs", "bomb-number", "1e999999999", set("env", `["X=${1e999999999}"]`)},
	{"bombs", "bomb-brackets", "nesting", add("main.tf", "locals {\n  x = "+strings.Repeat("[", 20_000)+"\n}")},
	{"bombs", "bomb-lock-file", "nesting", file(".terraform.lock.hcl", "x = "+strings.Repeat("[", 20_000))},
	{"bombs", "bomb-attributes", "words and signs", add("main.tf", strings.Repeat("x=1\n", 60_000))},
	{"bombs", "bomb-bytes", "bytes", file("big.tf", strings.Repeat("# x\n", 70_000))},
	{"bombs", "bomb-state", "input", resource("terraform_data", "d", "input = \""+strings.Repeat("${local.x}", 40)+"\"\n}\nlocals {\n  x = \""+strings.Repeat("y", 60_000)+"\"")},

	// Spellings of blocks that Terraform makes from values.
	{"dynamic", "dyn-escaped-mounts", "mounts", put("dynamic \"m\\u006funts\" {\n    for_each = [1]\n    content {\n      type   = \"bind\"\n      source = \"/\"\n      target = \"/host\"\n    }\n  }")},
	{"dynamic", "dyn-escaped-ports", "ports", put("dynamic \"p\\u006frts\" {\n    for_each = [1]\n    content {\n      internal = 22\n      external = 18098\n    }\n  }")},
	{"dynamic", "dyn-upload", "upload", put("dynamic \"upload\" {\n    for_each = [1]\n    content {\n      file   = \"/x\"\n      source = \"/etc/shadow\"\n    }\n  }")},
	{"dynamic", "dyn-host", "host", put("dynamic \"h\\u006fst\" {\n    for_each = [1]\n    content {\n      host = \"x\"\n      ip   = \"10.0.0.1\"\n    }\n  }")},
	{"dynamic", "dyn-volumes", "volumes", put("dynamic volumes {\n    for_each = [1]\n    content {\n      host_path      = \"/\"\n      container_path = \"/host\"\n    }\n  }")},
	{"dynamic", "dyn-in-dynamic", "dynamic", put("dynamic \"dynamic\" {\n    for_each = [1]\n    content {\n    }\n  }")},
	{"dynamic", "dyn-iterator", "iterator", swap("labels", "dynamic \"labels\" {\n    for_each = var.bothy.labels\n    iterator = var\n    content {\n      label = var.key\n      value = var.value\n    }\n  }")},
	{"dynamic", "dyn-ulimits", "for_each", swap("ulimit", "dynamic \"ulimit\" {\n    for_each = [{ name = \"nproc\", soft = -1, hard = -1 }]\n    content {\n      name = ulimit.value.name\n      soft = ulimit.value.soft\n      hard = ulimit.value.hard\n    }\n  }")},
	{"dynamic", "dyn-lifecycle", "lifecycle", put("dynamic \"lifecycle\" {\n    for_each = [1]\n    content {\n      prevent_destroy = true\n    }\n  }")},
}

// doubling gives locals, each twice the one before.
func doubling(n int) string {
	var b strings.Builder
	b.WriteString("locals {\n  x0 = \"aaaaaaaaaa\"\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "  x%d = \"${local.x%d}${local.x%d}\"\n", i, i-1, i-1)
	}
	return b.String() + "}"
}

// manyLocals gives locals, each a few times as long as x.
func manyLocals(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  y%d = \"${local.x}${local.x}${local.x}${local.x}\"\n", i)
	}
	return b.String()
}

// nested gives loops in loops over ten elements each.
func nested(n int) string {
	list, body := "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", `"x"`
	for i := range n {
		body = fmt.Sprintf("join(\"\", [for v%d in %s : %s])", i, list, body)
	}
	return "[" + body + "]"
}
