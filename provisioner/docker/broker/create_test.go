package broker_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// free are the fields that a blueprint may choose within bounds, or that the tests below take one by one. Every other field of a
// create that has a value is refused, also one that a later SDK adds.
var free = map[string]string{
	"User": "identity", "Env": "command", "Cmd": "command", "Entrypoint": "command", "WorkingDir": "identity", "Tty": "command",
	"OpenStdin": "command", "Healthcheck": "health", "StopSignal": "identity", "StopTimeout": "identity",
	"HostConfig.ReadonlyRootfs": "identity", "HostConfig.CpuShares": "limits", "HostConfig.CpuQuota": "limits", "HostConfig.ShmSize": "limits", "HostConfig.Init": "true",
	"HostConfig.Tmpfs": "memoryFiles", "HostConfig.LogConfig": "logging",
}

// Promise: no field of a create passes through. Each field of the SDK's types is set to something in turn.
func TestPromiseNoFieldPassesThrough(t *testing.T) {
	fields := 0
	try := func(name string, f reflect.StructField, set func(request, host map[string]any, value any)) {
		if free[name] != "" {
			return
		}
		fields++
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			value := something(f.Type)
			status, body := b.ask("POST", create, b.body(func(request, host map[string]any) { set(request, host, value) }))
			if status != http.StatusForbidden {
				t.Errorf("%s = %v gave %d %s, want a refusal", name, value, status, body)
			}
			if got := b.engine.calls(); len(got) > 0 {
				t.Errorf("the engine was told to %v", got)
			}
		})
	}
	for _, f := range flat(reflect.TypeFor[container.Config]()) {
		name := jsonName(f)
		try(name, f, func(request, _ map[string]any, value any) { request[name] = value })
	}
	for _, f := range flat(reflect.TypeFor[container.HostConfig]()) {
		name := jsonName(f)
		try("HostConfig."+name, f, func(_, host map[string]any, value any) { host[name] = value })
	}
	if fields < 60 {
		t.Errorf("only %d fields were tried", fields)
	}
}

// flat returns a type's fields, those of embedded types included.
func flat(typ reflect.Type) (all []reflect.StructField) {
	for i := range typ.NumField() {
		if f := typ.Field(i); f.Anonymous {
			all = append(all, flat(f.Type)...)
		} else {
			all = append(all, f)
		}
	}
	return all
}

func jsonName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	return f.Name
}

// something is a value of a type that says something, in JSON's types.
func something(typ reflect.Type) any {
	switch typ.Kind() {
	case reflect.Bool:
		return true
	case reflect.String:
		return "something"
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint64, reflect.Uint:
		return 7
	case reflect.Pointer:
		return something(typ.Elem())
	case reflect.Slice:
		return []any{something(typ.Elem())}
	case reflect.Array:
		return []any{7, 7}
	case reflect.Map:
		return map[string]any{"8080/tcp": something(typ.Elem())}
	case reflect.Struct:
		value := map[string]any{}
		for _, f := range flat(typ) {
			if f.Type.Kind() == reflect.String {
				value[jsonName(f)] = "something"
			}
		}
		return value
	}
	return map[string]any{}
}

func TestCreatesThatAreRefused(t *testing.T) {
	type maps = map[string]any
	set := func(key string, value any) func(maps, maps) { return func(_, host maps) { host[key] = value } }
	top := func(key string, value any) func(maps, maps) { return func(request, _ maps) { request[key] = value } }
	drop := func(key string) func(maps, maps) { return func(_, host maps) { delete(host, key) } }
	for name, c := range map[string]struct {
		attribute string
		change    func(request, host maps)
	}{
		"privileged":                          {"docker_container.privileged", set("Privileged", true)},
		"host network":                        {"docker_container.network_mode", set("NetworkMode", "host")},
		"the default bridge":                  {"docker_container.network_mode", set("NetworkMode", "bridge")},
		"no network mode":                     {"docker_container.network_mode", drop("NetworkMode")},
		"another's namespace":                 {"docker_container.network_mode", set("NetworkMode", "container:"+idOf(2))},
		"host pid":                            {"docker_container.pid_mode", set("PidMode", "host")},
		"host ipc":                            {"docker_container.ipc_mode", set("IpcMode", "host")},
		"shareable ipc":                       {"docker_container.ipc_mode", set("IpcMode", "shareable")},
		"host uts":                            {"docker_container.uts_mode", set("UTSMode", "host")},
		"host user namespace":                 {"docker_container.userns_mode", set("UsernsMode", "host")},
		"host cgroup namespace":               {"docker_container.cgroupns_mode", set("CgroupnsMode", "host")},
		"cgroup parent":                       {"docker_container.cgroup_parent", set("CgroupParent", "/")},
		"capability":                          {"docker_container.capabilities.add", set("CapAdd", []string{"CAP_SYS_ADMIN"})},
		"all capabilities":                    {"docker_container.capabilities.add", set("CapAdd", []string{"ALL"})},
		"no capability dropped":               {"docker_container.capabilities.drop", drop("CapDrop")},
		"one capability dropped":              {"docker_container.capabilities.drop", set("CapDrop", []string{"CAP_CHOWN"})},
		"seccomp off":                         {"docker_container.security_opts", set("SecurityOpt", []string{"no-new-privileges:true", "seccomp=unconfined"})},
		"an own seccomp profile":              {"docker_container.security_opts", set("SecurityOpt", []string{"no-new-privileges:true", "seccomp={}"})},
		"no-new-privileges off":               {"docker_container.security_opts", drop("SecurityOpt")},
		"system paths open":                   {"docker_container.security_opts", set("SecurityOpt", []string{"no-new-privileges:true", "systempaths=unconfined"})},
		"masked paths, empty":                 {"docker_container.security_opts", set("MaskedPaths", []string{"/nothing"})},
		"bind of the root":                    {"docker_container.volumes", set("Binds", []string{"/:/host"})},
		"bind of the socket":                  {"docker_container.volumes", set("Binds", []string{"/var/run/docker.sock:/s"})},
		"another's volume":                    {"docker_container.volumes", set("Binds", []string{"bothy-inst-env2-data:/data"})},
		"a name that begins alike":            {"docker_container.volumes", set("Binds", []string{"bothy-inst-env11:/data"})},
		"volume over secrets":                 {"docker_container.volumes", set("Binds", []string{"bothy-inst-env1-v:/run/bothy"})},
		"volume above secrets":                {"docker_container.volumes", set("Binds", []string{"bothy-inst-env1-v:/run"})},
		"volume below secrets":                {"docker_container.volumes", set("Binds", []string{"bothy-inst-env1-v:/run/bothy/x"})},
		"volume on the root":                  {"docker_container.volumes", set("Binds", []string{"bothy-inst-env1-v:/"})},
		"volume with a shared bind":           {"docker_container.volumes", set("Binds", []string{"bothy-inst-env1-v:/v:rshared"})},
		"mount of the host":                   {"docker_container.mounts", set("Mounts", []maps{{"Type": "bind", "Source": "/", "Target": "/host"}})},
		"mount with a driver":                 {"docker_container.mounts", set("Mounts", []maps{{"Type": "volume", "Source": "bothy-inst-env1-v", "Target": "/v", "VolumeOptions": maps{"DriverConfig": maps{"Name": "local", "Options": maps{"o": "bind", "device": "/"}}}}})},
		"mount on hosts":                      {"docker_container.mounts", set("Mounts", []maps{{"Type": "volume", "Source": "bothy-inst-env1-v", "Target": "/etc/hosts"}})},
		"volumes from":                        {"docker_container.volumes.from_container", set("VolumesFrom", []string{idOf(2)})},
		"anonymous volume":                    {"docker_container.volumes", top("Volumes", maps{"/data": maps{}})},
		"a folder in memory of its own mount": {"docker_container.mounts.type", set("Mounts", []maps{{"Type": "tmpfs", "Target": "/t"}})},
		"volume by a link of the image":       {"docker_container.volumes.container_path", set("Binds", []string{"bothy-inst-env1-v:/var/run/bothy"})},
		"secrets open to all in the end":      {"docker_container.tmpfs", set("Tmpfs", maps{"/run/bothy": "rw,nosuid,nodev,noexec,size=1m,mode=0700,mode=0777"})},
		"programs among secrets":              {"docker_container.tmpfs", set("Tmpfs", maps{"/run/bothy": "nosuid,nodev,noexec,mode=0700,exec"})},
		"tmpfs on proc":                       {"docker_container.tmpfs", set("Tmpfs", maps{"/proc/x": "nosuid,nodev"})},
		"tmpfs with devices":                  {"docker_container.tmpfs", set("Tmpfs", maps{"/t": "rw,nosuid"})},
		"tmpfs with strange words":            {"docker_container.tmpfs", set("Tmpfs", maps{"/t": "nosuid,nodev,context=x"})},
		"secrets open to all":                 {"docker_container.tmpfs", set("Tmpfs", maps{"/run/bothy": "rw,nosuid,nodev,noexec,size=1m,mode=0777"})},
		"device":                              {"docker_container.devices", set("Devices", []maps{{"PathOnHost": "/dev/sda"}})},
		"device rule":                         {"docker_container.device_cgroup_rules", set("DeviceCgroupRules", []string{"a *:* rwm"})},
		"gpu":                                 {"docker_container.gpus", set("DeviceRequests", []maps{{"Count": -1}})},
		"runtime":                             {"docker_container.runtime", set("Runtime", "other")},
		"sysctl":                              {"docker_container.sysctls", set("Sysctls", maps{"net.ipv4.ip_forward": "1"})},
		"group":                               {"docker_container.group_add", set("GroupAdd", []string{"0"})},
		"published port":                      {"docker_container.ports", set("PortBindings", maps{"80/tcp": []maps{{"HostPort": "80"}}})},
		"all ports published":                 {"docker_container.publish_all_ports", set("PublishAllPorts", true)},
		"extra host":                          {"docker_container.host", set("ExtraHosts", []string{"x:1.2.3.4"})},
		"dns":                                 {"docker_container.dns", set("Dns", []string{"1.2.3.4"})},
		"link":                                {"docker_container.links", set("Links", []string{"x"})},
		"restart":                             {"docker_container.restart", set("RestartPolicy", maps{"Name": "always"})},
		"auto-remove":                         {"docker_container.rm", set("AutoRemove", true)},
		"log driver":                          {"docker_container.log_driver", set("LogConfig", maps{"Type": "syslog"})},
		"log size":                            {"docker_container.log_opts", set("LogConfig", maps{"Type": "json-file", "Config": maps{"max-size": "500g", "max-file": "1"}})},
		"log files":                           {"docker_container.log_opts", set("LogConfig", maps{"Type": "json-file", "Config": maps{"max-size": "1m", "max-file": "9"}})},
		"log option":                          {"docker_container.log_opts", set("LogConfig", maps{"Type": "json-file", "Config": maps{"max-size": "1m", "max-file": "1", "env": "x"}})},
		"no log limit":                        {"docker_container.log_opts", set("LogConfig", maps{"Type": "json-file"})},
		"the engine's log driver":             {"docker_container.log_driver", drop("LogConfig")},
		"no memory limit":                     {"docker_container.memory", set("Memory", 0)},
		"more memory":                         {"docker_container.memory", set("Memory", 1<<40)},
		"negative memory":                     {"docker_container.memory", set("Memory", -1)},
		"swap":                                {"docker_container.memory_swap", set("MemorySwap", -1)},
		"no cpu limit":                        {"docker_container.cpu_quota", set("CpuQuota", 0)},
		"no cpu limit, negative":              {"docker_container.cpu_quota", set("CpuQuota", -1)},
		"more cpu":                            {"docker_container.cpu_quota", set("CpuQuota", 200000)},
		"no period":                           {"docker_container.cpu_period", set("CpuPeriod", 0)},
		"nano cpus":                           {"docker_container.cpus", set("NanoCpus", 64000000000)},
		"cpu set":                             {"docker_container.cpu_set", set("CpusetCpus", "0")},
		"weight":                              {"docker_container.cpu_shares", set("CpuShares", 200000)},
		"processes":                           {"docker_container.pids_limit", set("PidsLimit", -1)},
		"shm":                                 {"docker_container.shm_size", set("ShmSize", 1<<40)},
		"ulimit beyond":                       {"docker_container.ulimit", set("Ulimits", []maps{{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 4096, "Hard": 1 << 30}})},
		"ulimit without end":                  {"docker_container.ulimit", set("Ulimits", []maps{{"Name": "core", "Soft": -1, "Hard": -1}, {"Name": "nofile", "Soft": 4096, "Hard": 4096}})},
		"ulimit left out":                     {"docker_container.ulimit", set("Ulimits", []maps{{"Name": "core", "Soft": 0, "Hard": 0}})},
		"ulimit twice":                        {"docker_container.ulimit", set("Ulimits", []maps{{"Name": "core"}, {"Name": "nofile"}, {"Name": "core"}})},
		"ulimit of another name":              {"docker_container.ulimit", set("Ulimits", []maps{{"Name": "core"}, {"Name": "nofile"}, {"Name": "rtprio", "Soft": 99, "Hard": 99}})},
		"oom score":                           {"docker_container.oom_score_adj", set("OomScoreAdj", -1000)},
		"oom killer off":                      {"OomKillDisable", set("OomKillDisable", true)},
		"storage":                             {"docker_container.storage_opts", set("StorageOpt", maps{"size": "1t"})},
		"annotations":                         {"Annotations", set("Annotations", maps{"x": "y"})},
		"no init":                             {"docker_container.init", set("Init", false)},
		"another image":                       {"docker_container.image", top("Image", "sha256:"+strings.Repeat("2", 64))},
		"an image by name":                    {"docker_container.image", top("Image", "bothy/build")},
		"no labels":                           {"docker_container.labels", top("Labels", maps{})},
		"one label more":                      {"docker_container.labels", func(r, _ maps) { r["Labels"] = with(r["Labels"], "traefik.enable", "true") }},
		"another's labels":                    {"docker_container.labels", top("Labels", key.Labels(owner(theirs)))},
		"host name":                           {"docker_container.hostname", top("Hostname", "x")},
		"exposed port":                        {"docker_container.ports", top("ExposedPorts", maps{"80/tcp": maps{}})},
		"user":                                {"docker_container.user", top("User", "a b")},
		"working folder":                      {"docker_container.working_dir", top("WorkingDir", "../..")},
		"signal":                              {"docker_container.stop_signal", top("StopSignal", "kill -9")},
		"a day to end":                        {"docker_container.stop_timeout", top("StopTimeout", 86400)},
		"health check":                        {"docker_container.healthcheck.interval", top("Healthcheck", maps{"Test": []string{"CMD", "true"}, "Interval": 1000000})},
		"words":                               {"docker_container.command", top("Cmd", make([]string, 1000))},
		"networks":                            {"docker_container.networks_advanced", top("NetworkingConfig", maps{"EndpointsConfig": maps{"host": maps{}}})},
		"unknown field":                       {"docker_container", top("NewAndDangerous", true)},
		"unknown field, deep":                 {"docker_container", set("NewAndDangerous", true)},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			status, body := b.ask("POST", create, b.body(c.change))
			b.wantRefused(c.attribute, status, body)
			if got := b.engine.calls(); len(got) > 0 {
				t.Errorf("the engine was told to %v", got)
			}
			if r := b.door.Refusal(); r == nil || !strings.Contains(r.Attribute, c.attribute) {
				t.Errorf("the refusal is %+v, want one of %s", r, c.attribute)
			}
		})
	}
}

func with(labels any, name, value string) map[string]string {
	more := map[string]string{name: value}
	for k, v := range labels.(map[string]string) {
		more[k] = v
	}
	return more
}

// Spellings that the engine's own decoder folds: what is decided is what was decoded, whatever it was called.
func TestSpellingsOfACreate(t *testing.T) {
	for name, c := range map[string]struct{ old, new string }{
		"another case":          {`"Privileged":false`, `"PRIVILEGED":true`},
		"a second key":          {`"Privileged":false`, `"Privileged":false,"privileged":true`},
		"a second host config":  {`"NetworkingConfig":`, `"hostconfig":{"Privileged":true},"NetworkingConfig":`},
		"a shouted host config": {`"NetworkingConfig":`, `"HOSTCONFIG":{"Binds":["/:/host"]},"NetworkingConfig":`},
		"an escaped key":        {`"Privileged":false`, `"Privil\u0065ged":true`},
		"a second value":        {`"NetworkingConfig":{"EndpointsConfig":null}}`, `"NetworkingConfig":{"EndpointsConfig":null}} {"HostConfig":{"Privileged":true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			body := string(b.body(nil))
			changed := strings.Replace(body, c.old, c.new, 1)
			if name == "a second value" {
				changed = body + ` {"HostConfig":{"Privileged":true}}`
			}
			if changed == body {
				t.Fatalf("%s is not in the body", c.old)
			}
			if status, answer := b.ask("POST", create, []byte(changed)); status != http.StatusForbidden {
				t.Errorf("gave %d %s, want a refusal", status, answer)
			}
			if got := b.engine.calls(); len(got) > 0 {
				t.Errorf("the engine was told to %v", got)
			}
		})
	}
}

func TestNamesOfOthersAreRefused(t *testing.T) {
	b := setup(t)
	for _, name := range []string{"", "x", "bothy-inst-env2", "bothy-inst-env1x", "bothy-inst-net-2", "bothy-inst-", "bothy-inst-env1-" + strings.Repeat("x", 200)} {
		status, body := b.ask("POST", "/containers/create?name="+name, b.body(nil))
		b.wantRefused("docker_container.name", status, body)
		data, err := json.Marshal(map[string]any{"Name": name, "Labels": b.grant.Spec.Labels})
		if err != nil {
			t.Fatal(err)
		}
		status, body = b.ask("POST", "/volumes/create", data)
		b.wantRefused("docker_volume.name", status, body)
	}
}

func TestWithoutRootThereAreNoCapabilities(t *testing.T) {
	b := setup(t, func(g *provisioner.Grant) { g.Spec.Sandbox.Root = false })
	status, body := b.ask("POST", create, b.body(nil))
	b.wantRefused("docker_container.capabilities.add", status, body)
}

func TestAnEndlessBodyIsBounded(t *testing.T) {
	b := setup(t)
	status, _ := b.ask("POST", create, b.body(func(request, _ map[string]any) { request["Env"] = []string{strings.Repeat("x", 1<<20)} }))
	if status != http.StatusForbidden {
		t.Errorf("a body of 1 MiB gave %d, want a refusal", status)
	}
}

// What a provider reads of its container is what its blueprint said, though the engine spells it otherwise: else the next plan
// would make the sandbox anew.
func TestWhatIsReadBackIsWhatWasSaid(t *testing.T) {
	b := setup(t)
	b.engine.made = func(c *container.InspectResponse) {
		host := *c.HostConfig
		host.NetworkMode = container.NetworkMode("container:" + idOf(1)) // of bothy-inst-net-1
		c.HostConfig = &host
	}
	status, body := b.ask("POST", create, b.body(nil))
	var made container.CreateResponse
	if err := json.Unmarshal([]byte(body), &made); status != http.StatusCreated || err != nil {
		t.Fatalf("the create gave %d %s", status, body)
	}
	status, body = b.ask("GET", "/containers/"+made.ID+"/json", nil)
	var read container.InspectResponse
	if err := json.Unmarshal([]byte(body), &read); status != http.StatusOK || err != nil {
		t.Fatalf("the inspect gave %d %s", status, body)
	}
	if got := string(read.HostConfig.NetworkMode); got != string(b.grant.Spec.Sandbox.Network) {
		t.Errorf("the network is %s, want %s", got, b.grant.Spec.Sandbox.Network)
	}
	if got := strings.Join(read.HostConfig.CapAdd, " "); got != "CHOWN DAC_OVERRIDE FOWNER SETGID SETUID" {
		t.Errorf("the capabilities are %s", got)
	}
}
