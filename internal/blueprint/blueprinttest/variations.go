package blueprinttest

import "strings"

// Variation is the built-in blueprint with a change that the loader and the broker must judge alike.
type Variation struct {
	// Name says what it does, as a test's name.
	Name string
	// Files are the folder's, by name.
	Files map[string]string
	// Attribute is what both refuse, "" for what both take.
	Attribute string
}

// half is what each of two containers has.
const half = "floor(var.bothy.memory_mib / 2)"

// sidecar is a container beside the sandbox, with some of the size.
func sidecar(memory, quota, more string) edit {
	return resource("docker_container", "side", `name = "${var.bothy.name}-side"
  image         = var.bothy.image
  command       = ["sleep", "infinity"]
  network_mode  = var.bothy.network
  ipc_mode      = "private"
  cgroupns_mode = "private"
  cpu_period    = 100000
  cpu_quota     = floor(var.bothy.cpus * `+quota+`)
  memory        = `+memory+`
  memory_swap   = `+memory+`
  init          = true
  restart       = "no"
  stop_signal   = "SIGKILL"
  security_opts = var.bothy.security_opts
  log_driver    = "json-file"
  log_opts      = { max-size = "1m", max-file = "1" }
  capabilities {
    drop = ["ALL"]
  }
  dynamic "ulimit" {
    for_each = var.bothy.ulimits
    content {
      name = ulimit.value.name
      soft = ulimit.value.soft
      hard = ulimit.value.hard
    }
  }
  `+more)
}

// halved gives the sandbox half of the size.
func halved() edit {
	return then(set("memory", half), set("memory_swap", half), set("cpu_quota", "floor(var.bothy.cpus * 50000)"), set("shm_size", "64"))
}

// volume is a volume of the environment's own.
func volume(name string) edit {
	return resource("docker_volume", name, `name = "${var.bothy.name}-`+name+`"`)
}

// mounted mounts a volume v.
func mounted(at string) edit {
	return then(volume("v"), put("volumes {\n    volume_name    = docker_volume.v.name\n    container_path = \""+at+"\"\n  }"))
}

func tmpfs(folders string) edit {
	return set("tmpfs", `{ "/run/bothy" = "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000", `+folders+" }")
}

func secrets(options string) edit { return set("tmpfs", `{ "/run/bothy" = "`+options+`" }`) }

func healthcheck(text string) edit {
	return put("healthcheck {\n    test = [\"CMD\", \"true\"]\n    " + text + "\n  }")
}

func logs(text string) edit { return set("log_opts", "{ "+text+" }") }

var variations = []struct {
	name, attribute string
	edit            edit
}{
	{"as it is", "", set("init", "true # as it is")},
	{"volumes", "", then(mounted("/cache"), volume("w"), put("mounts {\n    type   = \"volume\"\n    source = docker_volume.w.name\n    target = \"/data\"\n  }"))},
	{"a volume to read", "", then(volume("v"), put("volumes {\n    volume_name    = docker_volume.v.name\n    container_path = \"/cache\"\n    read_only      = true\n  }"))},
	{"a health check", "", healthcheck("interval = \"5s\"\n    timeout = \"2s\"\n    start_period = \"0s\"\n    retries = 3")},
	{"a health check by default", "", healthcheck("retries = 2")},
	{"a sidecar", "", then(halved(), sidecar(half, "50000", ""))},
	{"what may be chosen", "", then(set("stop_timeout", "10"), set("destroy_grace_seconds", "5"), set("cpu_shares", "512"), set("shm_size", "1024"), set("read_only", "true"),
		set("working_dir", `"/tmp"`), set("env", `["A=b"]`), set("stop_signal", `"SIGTERM"`), set("user", `"1000:1000"`), set("remove_volumes", "true"),
		tmpfs(`"/tmp" = "rw,nosuid,nodev,size=64m,mode=1777"`), logs(`max-size = "10m", max-file = "1"`))},
	{"nothing that need not be said", "", then(drop("must_run"), drop("restart"), drop("stop_signal"), drop("shm_size"), drop("user"))},
	{"no network", "", set("network_mode", `"none"`)},
	{"few capabilities", "", swap("capabilities", "capabilities {\n    drop = [\"ALL\"]\n    add  = var.bothy.root ? [\"CHOWN\"] : []\n  }")},
	{"no capabilities", "", swap("capabilities", "capabilities {\n    drop = [\"ALL\"]\n  }")},

	{"no init", "init", drop("init")},
	{"init false", "init", set("init", "false")},
	{"no ipc mode", "ipc_mode", drop("ipc_mode")},
	{"ipc mode none", "ipc_mode", set("ipc_mode", `"none"`)},
	{"no cgroup namespace", "cgroupns_mode", drop("cgroupns_mode")},
	{"no memory", "memory", drop("memory")},
	{"no swap", "memory_swap", drop("memory_swap")},
	{"other swap", "memory_swap", set("memory", half)},
	{"no period", "cpu_period", drop("cpu_period")},
	{"no quota", "cpu_quota", drop("cpu_quota")},
	{"no network mode", "network_mode", drop("network_mode")},
	{"no security options", "security_opts", drop("security_opts")},
	{"no seccomp profile", "security_opts", set("security_opts", `["no-new-privileges:true"]`)},
	{"no capabilities dropped", "drop", swap("capabilities", "capabilities {\n    add = []\n  }")},
	{"no capabilities block", "capabilities", drop("capabilities")},
	{"no ulimits", "ulimit", drop("ulimit")},
	{"written ulimits", "ulimit", swap("ulimit", "ulimit {\n    name = \"nofile\"\n    soft = 1024\n    hard = 1024\n  }")},
	{"a ulimit more", "ulimit", put("ulimit {\n    name = \"stack\"\n    soft = 1024\n    hard = 1024\n  }")},
	{"no log driver", "log_driver", drop("log_driver")},
	{"no log options", "log_opts", drop("log_opts")},
	{"no log size", "log_opts", logs(`max-file = "3"`)},
	{"no log files", "log_opts", logs(`max-size = "10m"`)},
	{"large logs", "log_opts", logs(`max-size = "30m", max-file = "3"`)},
	{"a label more", "labels", put("labels {\n    label = \"team\"\n    value = \"web\"\n  }")},
	{"no folder for secrets", "tmpfs", drop("tmpfs")},
	{"secrets for all", "tmpfs", secrets("rw,nosuid,nodev,noexec,size=1m,mode=0777")},
	{"secrets for all in the end", "tmpfs", secrets("rw,nosuid,nodev,noexec,size=1m,mode=0700,mode=0777")},
	{"secrets to run", "tmpfs", secrets("rw,nosuid,nodev,noexec,exec,size=1m,mode=0700")},
	{"tmpfs with devices", "tmpfs", tmpfs(`"/tmp" = "rw,nosuid"`)},
	{"tmpfs without options", "tmpfs", tmpfs(`"/tmp" = ""`)},
	{"tmpfs with a comma", "tmpfs", tmpfs(`"/tmp" = "nosuid,nodev,"`)},
	{"tmpfs on a closed folder", "tmpfs", tmpfs(`"/proc/x" = "nosuid,nodev"`)},
	{"tmpfs by a link to a closed folder", "tmpfs", tmpfs(`"/var/run/x" = "nosuid,nodev"`)},
	{"tmpfs with a colon", "tmpfs", tmpfs(`"/a:b" = "nosuid,nodev"`)},
	{"tmpfs as a mount", "mounts", put("mounts {\n    type   = \"tmpfs\"\n    target = \"/scratch\"\n  }")},
	{"a mount without a source", "mounts", put("mounts {\n    type   = \"volume\"\n    target = \"/scratch\"\n  }")},
	{"a volume without a name", "volumes", put("volumes {\n    container_path = \"/scratch\"\n  }")},
	{"a volume that nobody makes", "volume_name", put("volumes {\n    volume_name    = \"${var.bothy.name}-ghost\"\n    container_path = \"/scratch\"\n  }")},
	{"a mount that nobody makes", "source", put("mounts {\n    type   = \"volume\"\n    source = \"${var.bothy.name}-ghost\"\n    target = \"/scratch\"\n  }")},
	{"a volume called as the sandbox", "name", resource("docker_volume", "v", "name = var.bothy.name")},
	{"a volume called alike", "name", resource("docker_volume", "v", `name = "${var.bothy.name}x"`)},
	{"a volume that names itself", "name", resource("docker_volume", "v", "")},
	{"two volumes of one name", "name", then(volume("v"), resource("docker_volume", "u", `name = "${var.bothy.name}-v"`+"\n  depends_on = [docker_volume.v]"))},
	{"a volume on a file of the engine", "container_path", mounted("/etc/hosts")},
	{"a volume by a link", "container_path", mounted("/var/run/bothy")},
	{"a volume at a closed folder", "container_path", mounted("/dev/shm")},
	{"a day to end", "stop_timeout", set("stop_timeout", "30")},
	{"a working folder like any", "working_dir", set("working_dir", `"src"`)},
	{"a user like any", "user", set("user", `"a b"`)},
	{"a command of many words", "command", set("command", `["sleep", "infinity", `+strings.Repeat(`"x", `, 255)+`]`)},
	{"a health check at once", "start_period", healthcheck("start_period = \"1ms\"")},
	{"shared memory beyond memory", "shm_size", set("shm_size", "2048")},
	{"a sidecar of the whole memory", "memory", then(set("cpu_quota", "floor(var.bothy.cpus * 50000)"), sidecar("var.bothy.memory_mib", "50000", ""))},
	{"a sidecar of all cores", "cpu_quota", then(halved(), sidecar(half, "100000", ""))},
	{"two sidecars of one", "memory", then(halved(), sidecar(half, "25000", "count = 2"))},
}

// Variations gives all variations, each with files and a name of its own.
func Variations() []Variation {
	all := make([]Variation, len(variations))
	for i, v := range variations {
		files := Builtin()
		name := "v-" + strings.ReplaceAll(strings.ToLower(v.name), " ", "-")
		files["blueprint.yaml"] = strings.Replace(files["blueprint.yaml"], "name: build", "name: "+name, 1)
		v.edit(files)
		all[i] = Variation{Name: name, Files: files, Attribute: v.attribute}
	}
	return all
}
