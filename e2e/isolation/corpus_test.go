//go:build linux

package isolation_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/modules"
)

// hostile is a blueprint that asks for what none may have.
type hostile struct {
	name, kind string
	// files are the blueprint's, by name. {NAMES} in them stand for baits; see lay.
	files map[string]string
	// attribute is what a refusal must name: one of several, by "|", where walls have their own words; "" where there is none.
	attribute string
	// local says that Terraform itself reaches something of the machine, without the engine: what confines it is the wall.
	local bool
	// early says that attribute is the loader's word for it: a wall behind the loader may have another.
	early bool
	// heavy says that it takes all that Terraform is let have: it is not taken past the loader.
	heavy bool
}

// names reports whether a refusal names the attribute.
func (h hostile) names(said string) bool {
	return slices.ContainsFunc(strings.Split(h.attribute, "|"), func(a string) bool { return strings.Contains(said, a) })
}

// builtin are the files of the built-in blueprint, which is everybody's example.
func builtin() map[string]string {
	files := map[string]string{}
	err := fs.WalkDir(modules.Builtin, "build", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := modules.Builtin.ReadFile(path)
		files[strings.TrimPrefix(path, "build/")] = string(data)
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("read the built-in blueprint: %v", err)) // it is in this binary
	}
	return files
}

// edits change the built-in blueprint: pairs of a text of main.tf and what stands there instead.
type edits []string

// add puts lines into the container.
func add(lines string) edits {
	return edits{"  log_driver = \"json-file\"\n", lines + "\n  log_driver = \"json-file\"\n"}
}

// after puts blocks behind the container.
func after(blocks string) edits {
	return edits{"resource \"docker_container\" \"sandbox\" {", blocks + "\nresource \"docker_container\" \"sandbox\" {"}
}

// apply edits main.tf, or another file when the first text names one ("versions.tf:...").
func (e edits) apply(files map[string]string) {
	for i := 0; i < len(e); i += 2 {
		file, old := "main.tf", e[i]
		if name, rest, ok := strings.Cut(old, ":"); ok && strings.HasSuffix(name, ".tf") {
			file, old = name, rest
		}
		if strings.Count(files[file], old) != 1 {
			panic(fmt.Sprintf("the built-in blueprint's %s has %q %d times, want once", file, old, strings.Count(files[file], old)))
		}
		files[file] = strings.Replace(files[file], old, e[i+1], 1)
	}
}

// corpus are the hostile blueprints of this package: each is the built-in one but for what it is after.
func corpus() []hostile {
	var all []hostile
	kind := ""
	one := func(name, attribute string, change edits) {
		files := builtin()
		change.apply(files)
		all = append(all, hostile{name: name, kind: kind, attribute: attribute, files: files})
	}
	local := func(name, attribute string, change edits) {
		one(name, attribute, change)
		all[len(all)-1].local = true
	}
	const network, ipc, drop = "  network_mode  = var.bothy.network\n", "  ipc_mode      = \"private\"\n", "    drop = [\"ALL\"]\n"
	const security, memory, tmpfs = "  security_opts = var.bothy.security_opts\n", "  memory      = var.bothy.memory_mib\n", "    \"/run/bothy\" = \"rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000\"\n"

	kind = "network"
	one("net-host", "network_mode", edits{network, "  network_mode = \"host\"\n"})
	one("net-host-template", "network_mode", edits{network, "  network_mode = \"%{ if false }none%{ endif }${\"host\"}\"\n"})
	one("net-bridge", "network_mode", edits{network, "  network_mode = join(\"\", [\"bri\", \"dge\"])\n"})
	one("net-foreign-container", "network_mode", edits{network, "  network_mode = \"container:{FOREIGN CONTAINER}\"\n"})
	one("net-absent", "network_mode", edits{network, ""})
	one("net-advanced", "networks_advanced", add("  networks_advanced {\n    name = \"bridge\"\n  }"))
	one("net-ports", "ports", add("  dynamic \"p\\u006frts\" {\n    for_each = [1]\n    content {\n      internal = 80\n    }\n  }"))
	one("net-publish-all", "publish_all_ports", add("  publish_all_ports = true"))
	one("net-dns", "dns", add("  dns = [\"192.0.2.1\"]"))
	one("net-hosts", "host", add("  host {\n    host = \"deb.debian.org\"\n    ip   = \"192.0.2.1\"\n  }"))

	kind = "mounts"
	one("mount-root", "mounts|type", add("  mounts {\n    type   = \"bind\"\n    source = \"/\"\n    target = \"/host\"\n  }"))
	one("mount-root-template", "mounts|type", add("  mounts {\n    type   = \"%{ if false }volume%{ endif }${\"bind\"}\"\n    source = \"/\"\n    target = \"/host\"\n  }"))
	one("mount-dynamic", "mounts", add("  dynamic \"m\\u006funts\" {\n    for_each = [1]\n    content {\n      type   = \"bind\"\n      source = \"/\"\n      target = \"/host\"\n    }\n  }"))
	one("volume-host-path", "volumes|host_path", add("  volumes {\n    host_path      = \"/\"\n    container_path = \"/host\"\n  }"))
	one("volume-socket", "volumes|volume_name", add("  volumes {\n    volume_name    = \"/var/run/docker.sock\"\n    container_path = \"/sock\"\n  }"))
	one("volume-foreign", "volumes|volume_name", add("  volumes {\n    volume_name    = \"{FOREIGN VOLUME}\"\n    container_path = \"/foreign\"\n  }"))
	one("volume-anonymous", "volumes", add("  volumes {\n    container_path = \"/anonymous\"\n  }\n  remove_volumes = false"))
	one("volumes-from", "volumes", add("  volumes {\n    from_container = \"{FOREIGN CONTAINER}\"\n  }"))
	one("volume-as-secrets", "tmpfs|volumes|volume_name", edits{tmpfs, "", "  log_driver = \"json-file\"\n", "  volumes {\n    volume_name    = \"${var.bothy.name}-spy\"\n    container_path = \"/run/bothy\"\n  }\n  log_driver = \"json-file\"\n"})
	one("tmpfs-proc", "tmpfs", edits{tmpfs, tmpfs + "    \"/proc/sys\" = \"rw,nosuid,nodev\"\n"})

	kind = "privileges"
	one("privileged", "privileged", add("  privileged = true"))
	one("cap-sys-admin", "capabilities", edits{"[\"CHOWN\", ", "[\"SYS_ADMIN\", \"CHOWN\", "})
	one("cap-all", "capabilities", edits{"[\"CHOWN\", \"DAC_OVERRIDE\", \"FOWNER\", \"SETGID\", \"SETUID\"]", "[\"ALL\"]"})
	one("cap-net-raw", "capabilities", edits{"[\"CHOWN\", ", "[format(\"%s_%s\", \"NET\", \"RAW\"), \"CHOWN\", "})
	one("cap-no-drop", "capabilities", edits{drop, ""})
	one("group-disk", "group_add", add("  group_add = [\"6\"]"))
	one("sysctl", "sysctls", add("  sysctls = {\n    \"net.ipv4.ip_forward\" = \"1\"\n  }"))
	one("runtime", "runtime", add("  runtime = \"io.containerd.runc.v2\""))

	kind = "hardening"
	one("seccomp-off", "security_opts", edits{security, "  security_opts = [\"no-new-privileges:true\", \"seccomp=unconf${\"ined\"}\"]\n"})
	one("seccomp-own", "security_opts", edits{security, "  security_opts = [\"no-new-privileges:true\", \"seccomp={\\\"defaultAction\\\":\\\"SCMP_ACT_ALLOW\\\"}\"]\n"})
	one("paths-unmasked", "security_opts", edits{security, "  security_opts = concat(var.bothy.security_opts, [\"systempaths=unconf${\"ined\"}\"])\n"})
	one("apparmor-off", "security_opts", edits{security, "  security_opts = concat(var.bothy.security_opts, [\"apparmor=unconf${\"ined\"}\"])\n"})
	one("security-absent", "security_opts", edits{security, ""})

	kind = "namespaces"
	one("ipc-host", "ipc_mode", edits{ipc, "  ipc_mode = \"%{ if false }private%{ endif }${\"host\"}\"\n"})
	one("ipc-shared", "ipc_mode", edits{ipc, "  ipc_mode = \"shareable\"\n"})
	one("pid-host", "pid_mode", add("  pid_mode = \"host\""))
	one("pid-foreign", "pid_mode", add("  pid_mode = \"container:{FOREIGN CONTAINER}\""))
	one("userns-host", "userns_mode", add("  userns_mode = \"host\""))
	one("cgroupns-host", "cgroupns_mode", edits{"  cgroupns_mode = \"private\"\n", "  cgroupns_mode = \"host\"\n"})
	one("cgroup-parent", "cgroup_parent", add("  cgroup_parent = \"/\""))

	kind = "devices"
	one("device", "devices", add("  devices {\n    host_path = \"/dev/kmsg\"\n  }"))
	one("device-rule", "device_cgroup_rules", add("  device_cgroup_rules = [\"a *:* rwm\"]"))
	one("gpus", "gpus", add("  gpus = \"all\""))

	kind = "limits"
	one("memory-absent", "memory", edits{memory, "", "  memory_swap = var.bothy.memory_mib # the same: no swap on top\n", ""})
	one("memory-more", "memory", edits{memory, "  memory = var.bothy.memory_mib * 4\n", "var.bothy.memory_mib # the same: no swap on top", "var.bothy.memory_mib * 4"})
	one("swap", "memory_swap", edits{"var.bothy.memory_mib # the same: no swap on top", "-1"})
	one("cpu-absent", "cpu", edits{"  cpu_period  = 100000\n", "", "  cpu_quota   = floor(var.bothy.cpus * 100000)\n", ""})
	one("cpu-more", "cpu_quota", edits{"floor(var.bothy.cpus * 100000)", "floor(var.bothy.cpus * 400000)"})
	one("ulimit-more", "ulimit", edits{"hard = ulimit.value.hard", "hard = 1048576"})
	one("shm-more", "shm_size", edits{"  shm_size    = var.shm_mib\n", "  shm_size = 65536\n"})
	one("grace", "stop_timeout", add("  stop_timeout = 86400"))
	one("healthcheck-storm", "healthcheck", add("  healthcheck {\n    test     = [\"CMD\", \"true\"]\n    interval = \"1ms\"\n  }"))
	one("storage", "storage_opts", add("  storage_opts = {\n    size = \"1T\"\n  }"))

	kind = "logs"
	one("log-syslog", "log_driver", edits{"  log_driver = \"json-file\"\n", "  log_driver = \"syslog\"\n", "    max-size = \"10m\"\n    max-file = \"3\"\n", "    syslog-address = \"tcp://127.0.0.1:5514\"\n"})
	one("log-huge", "log_opts", edits{"\"10m\"", "\"500g\""})

	kind = "identity"
	one("labels-none", "labels", edits{"for_each = var.bothy.labels", "for_each = {}"})
	one("labels-forged", "labels", edits{"value = labels.value", "value = labels.key == \"bothy.environment\" ? \"e-another\" : labels.value"})
	one("labels-more", "labels", edits{"for_each = var.bothy.labels", "for_each = merge(var.bothy.labels, { \"bothy.slot\" = \"3\" })"})
	one("name-foreign", "name", edits{"  name  = var.bothy.name\n", "  name  = \"{RUN}-foreign\"\n"})
	one("name-of-networks", "name", edits{"  name  = var.bothy.name\n", "  name  = \"bothy-${var.bothy.instance}-net-21\"\n"})
	one("image-foreign", "image", edits{"  image = var.bothy.image\n", "  image = \"bothy/base\"\n"})
	one("hostname", "hostname", add("  hostname = \"registry\""))

	kind = "lifecycle"
	one("restart-always", "restart", edits{"  restart  = \"no\"\n", "  restart  = \"always\"\n"})
	one("remove-itself", "rm", add("  rm = true"))
	one("stays", "", add("  lifecycle {\n    prevent_destroy = true\n  }"))

	kind = "uploads"
	one("upload-content", "", add("  upload {\n    file    = \"/etc/profile.d/x.sh\"\n    content = \"id\"\n  }"))

	kind = "other resources"
	one("volume-adopted", "name", after("resource \"docker_volume\" \"v\" {\n  name = \"{FOREIGN VOLUME}\"\n}"))
	one("volume-bind", "driver_opts", after("resource \"docker_volume\" \"v\" {\n  name        = \"${var.bothy.name}-v\"\n  driver_opts = { type = \"none\", o = \"bind\", device = \"/\" }\n  dynamic \"labels\" {\n    for_each = var.bothy.labels\n    content {\n      label = labels.key\n      value = labels.value\n    }\n  }\n}"))
	one("volume-unlabelled", "labels", after("resource \"docker_volume\" \"v\" {\n  name = \"${var.bothy.name}-v\"\n}"))
	one("volumes-many", "name|count", after("resource \"docker_volume\" \"v\" {\n  count = 40\n  name  = \"${var.bothy.name}-v${count.index}\"\n  dynamic \"labels\" {\n    for_each = var.bothy.labels\n    content {\n      label = labels.key\n      value = labels.value\n    }\n  }\n}"))
	one("container-unlimited", "memory|labels", after("resource \"docker_container\" \"more\" {\n  name  = \"${var.bothy.name}-more\"\n  image = var.bothy.image\n}"))
	one("network-made", "", after("resource \"docker_network\" \"n\" {\n  name = \"{RUN}-net\"\n}"))
	one("image-pulled", "", after("resource \"docker_image\" \"i\" {\n  name = \"{RUN}/none:1\"\n}"))
	one("image-built", "", after("resource \"docker_image\" \"i\" {\n  name = \"{RUN}/built:1\"\n  build {\n    context = path.module\n  }\n}"))
	one("tag", "", after("resource \"docker_tag\" \"t\" {\n  source_image = var.bothy.image\n  target_image = \"{RUN}/tag:1\"\n}"))
	one("swarm-secret", "", after("resource \"docker_secret\" \"s\" {\n  name = \"{RUN}-secret\"\n  data = base64encode(\"x\")\n}"))
	one("plugin", "", after("resource \"docker_plugin\" \"p\" {\n  name = \"{RUN}/plugin:1\"\n}"))

	kind = "reading"
	one("reads-logs", "", after("data \"docker_logs\" \"l\" {\n  name = \"{FOREIGN CONTAINER}\"\n}\nresource \"terraform_data\" \"l\" {\n  input = \"${data.docker_logs.l.name} ${jsonencode(data.docker_logs.l.logs_list_string)}\"\n}"))
	one("reads-network", "", after("data \"docker_network\" \"n\" {\n  name = \"bridge\"\n}"))
	one("reads-containers", "", after("# {FOREIGN CONTAINER}\ndata \"docker_containers\" \"c\" {}\nresource \"terraform_data\" \"c\" {\n  input = jsonencode(data.docker_containers.c)\n}"))

	kind = "ids"
	one("id-foreign", "bothy", edits{"outputs.tf:docker_container.sandbox.id", "docker_container.sandbox.id == \"\" ? \"\" : \"{FOREIGN CONTAINER}\""})
	one("id-prefix", "bothy", edits{"outputs.tf:docker_container.sandbox.id", "substr(\"{FOREIGN CONTAINER}${docker_container.sandbox.id}\", 0, 2)"})
	one("id-of-the-network", "bothy", edits{"outputs.tf:docker_container.sandbox.id", "docker_container.sandbox.id == \"\" ? \"\" : replace(var.bothy.network, \"container:\", \"\")"})

	kind = "secrets"
	one("secrets-on-disk", "tmpfs", edits{tmpfs, ""})
	one("secrets-for-all", "tmpfs", edits{"mode=0700", "mode=0777"})

	kind = "host files"
	local("file-in-env", "", add("  env = [\"LEAK=${file(\"{CANARY FILE}\")}\"]"))
	local("file-encoded", "", add("  env = [\"LEAK=${filebase64(\"{CANARY FILE}\")}\"]"))
	local("file-template", "", add("  env = [\"LEAK=${templatefile(\"{CANARY FILE}\", {})}\"]"))
	local("file-listed", "", add("  env = [\"LEAK=${join(\",\", fileset(\"{CANARY FOLDER}\", \"*\"))}\"]"))
	local("file-on-two-lines", "", add("  env = [\"LEAK=${file(\n\"{CANARY FILE}\")}\"]"))
	local("file-uploaded", "upload", add("  upload {\n    file   = \"/leak\"\n    source = \"{CANARY FILE}\"\n  }"))

	kind = "programs"
	local("program-local-exec", "provisioner", after("resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" {\n    command = \"touch {PROGRAM CANARY}\"\n  }\n}"))
	local("program-external", "", after("data \"external\" \"x\" {\n  program = [\"touch\", \"{PROGRAM CANARY}\"]\n}"))
	local("program-module", "module", after("module \"m\" {\n  source = \"git::file://{CANARY FOLDER}\"\n}"))
	local("program-provider", "source", edits{"versions.tf:\"kreuzwerker/docker\"", "\"kreuzwerker/docker\" == \"\" ? \"\" : \"127.0.0.1:1/{RUN}/docker\""})

	kind = "provider"
	local("engine-default", "host", edits{"versions.tf:  host = var.bothy.engine\n", ""})
	local("engine-direct", "host", edits{"versions.tf:  host = var.bothy.engine\n", "  host = var.bothy.engine == \"\" ? \"\" : \"unix:///var/run/docker.sock\"\n"})
	local("engine-alias", "alias", edits{"versions.tf:  host = var.bothy.engine\n}", "  host = var.bothy.engine\n}\nprovider \"docker\" {\n  alias = \"direct\"\n  host  = \"unix:///var/run/docker.sock\"\n}",
		"  name  = var.bothy.name\n", "  provider = docker.direct\n  name  = var.bothy.name\n"})

	kind = "files of the folder"
	extra := func(name, attribute, file, text string) {
		one(name, attribute, nil)
		all[len(all)-1].files[file] = text
	}
	extra("override", "privileged|override", "zz_override.tf", "resource \"docker_container\" \"sandbox\" {\n  privileged = true\n}\n")
	extra("json", "", "more.tf.json", "{\"resource\":{\"docker_container\":{\"more\":{\"name\":\"${var.bothy.name}-more\",\"image\":\"${var.bothy.image}\",\"privileged\":true,\"memory\":6,\"memory_swap\":6,\"cpu_period\":100000,\"cpu_quota\":1000}}}}\n")
	return all
}
