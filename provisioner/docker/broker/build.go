package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
)

// buildContainer makes the engine's request from the Spec and from what a blueprint may choose, and refuses one that asks for
// anything else. Nothing is corrected silently: what the provider reads back must have been said by the blueprint, else its
// next plan would replace the sandbox; what it cannot express (see door.add) is not there yet.
func buildContainer(spec *provisioner.Spec, name string, asked container.CreateRequest) (container.CreateRequest, share, error) {
	if asked.Config == nil {
		asked.Config = &container.Config{}
	}
	if asked.HostConfig == nil {
		asked.HostConfig = &container.HostConfig{}
	}
	if spec.Blueprint.Trusted {
		return buildTrusted(spec, name, asked)
	}
	built := container.CreateRequest{
		Config: &container.Config{Image: spec.Sandbox.Image, Labels: spec.Labels},
		HostConfig: &container.HostConfig{
			NetworkMode:   container.NetworkMode(spec.Sandbox.Network),
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
			IpcMode:       "private", CgroupnsMode: "private",
			CapDrop: []string{"ALL"},
			Init:    new(true),
		},
	}
	if spec.Sandbox.Network == "" {
		built.HostConfig.NetworkMode = "none"
	}
	for _, choice := range choices {
		if refusal := choice(spec, name, &asked, &built); refusal != nil {
			return built, share{}, refusal
		}
	}
	if refusal := differ(containerAttributes, "docker_container.", asked, built); refusal != nil {
		return built, share{}, refusal
	}
	h := built.HostConfig
	return built, share{memory: h.Memory, cpus: float64(h.CPUQuota) / float64(h.CPUPeriod)}, nil
}

// buildTrusted makes the request of a blueprint that the platform lets go beyond a sandbox's bounds: what it asks for, within
// its size, under its own labels, and such that it ends on request.
func buildTrusted(spec *provisioner.Spec, name string, asked container.CreateRequest) (container.CreateRequest, share, error) {
	config, host := *asked.Config, *asked.HostConfig
	built := container.CreateRequest{Config: &config, HostConfig: &host, NetworkingConfig: asked.NetworkingConfig}
	if refusal := limits(spec, name, &asked, &built); refusal != nil {
		return built, share{}, refusal
	}
	config.Image, config.Labels = spec.Sandbox.Image, spec.Labels
	host.RestartPolicy, host.AutoRemove = container.RestartPolicy{Name: container.RestartPolicyDisabled}, false
	host.PidsLimit, host.CgroupParent = nil, ""
	if refusal := differ(containerAttributes, "docker_container.", asked, built); refusal != nil {
		return built, share{}, refusal
	}
	return built, share{memory: host.Memory, cpus: float64(host.CPUQuota) / float64(host.CPUPeriod)}, nil
}

// buildVolume makes the engine's request for a volume.
func buildVolume(spec *provisioner.Spec, asked volume.CreateOptions) (volume.CreateOptions, error) {
	built := volume.CreateOptions{Name: asked.Name, Driver: "local", Labels: spec.Labels}
	if asked.Driver == "" {
		asked.Driver = built.Driver // the engine's own choice is the same
	}
	if spec.Blueprint.Trusted {
		built.Driver, built.DriverOpts = asked.Driver, asked.DriverOpts
	}
	if refusal := differ(volumeAttributes, "docker_volume.", asked, built); refusal != nil {
		return built, refusal
	}
	return built, nil
}

// differ compares what was asked for with what was built, field by field, every field that the type has. The first difference
// is the refusal, in the order of the fields' names.
func differ(attributes map[string]string, prefix string, asked, built any) *provisioner.Refusal {
	a, b := fields(asked), fields(built)
	names := maps.Clone(a)
	maps.Copy(names, b) // what says nothing may be left out of either
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if bytes.Equal(a[name], b[name]) {
			continue
		}
		attribute, known := attributes[name]
		if !known {
			attribute = name
		}
		want := "nothing: it is not a blueprint's to choose"
		if b[name] != nil {
			want = shorten(string(b[name]))
			if hint := wants[name]; hint != "" {
				want = hint
			}
		}
		found := shorten(string(a[name]))
		if a[name] == nil {
			found = "nothing"
		}
		return &provisioner.Refusal{Attribute: prefix + attribute, Found: found, Want: want}
	}
	return nil
}

// fields returns every field of a request by name in JSON, those within HostConfig and the like as "HostConfig.Name". What says
// nothing (zero, empty) is nil.
func fields(request any) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	var walk func(prefix string, value any)
	walk = func(prefix string, value any) {
		data, err := json.Marshal(value)
		if err != nil {
			panic(fmt.Sprintf("encode a typed request: %v", err)) // it has no value that cannot be
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(data, &object); err != nil {
			panic(fmt.Sprintf("read a typed request: %v", err))
		}
		for name, raw := range object {
			if name == "HostConfig" || name == "NetworkingConfig" {
				walk(prefix+name+".", raw)
				continue
			}
			if saysNothing(raw) {
				raw = nil
			}
			all[prefix+name] = raw
		}
	}
	walk("", request)
	return all
}

func saysNothing(raw json.RawMessage) bool {
	switch string(raw) {
	case "null", `""`, "0", "false", "[]", "{}", "[0,0]":
		return true
	}
	return false
}

// containerAttributes names the fields of a create as Terraform's provider does.
var containerAttributes = map[string]string{
	"Image": "image", "Labels": "labels", "Hostname": "hostname", "Domainname": "domainname", "User": "user", "Env": "env",
	"Cmd": "command", "Entrypoint": "entrypoint", "WorkingDir": "working_dir", "Volumes": "volumes", "ExposedPorts": "ports",
	"Healthcheck": "healthcheck", "StopSignal": "stop_signal", "StopTimeout": "stop_timeout", "Tty": "tty", "OpenStdin": "stdin_open",
	"AttachStdin": "attach", "AttachStdout": "attach", "AttachStderr": "attach", "StdinOnce": "attach", "MacAddress": "networks_advanced.mac_address",

	"HostConfig.Binds": "volumes", "HostConfig.Mounts": "mounts", "HostConfig.VolumesFrom": "volumes.from_container",
	"HostConfig.VolumeDriver": "volumes", "HostConfig.Tmpfs": "tmpfs", "HostConfig.LogConfig": "log_driver",
	"HostConfig.NetworkMode": "network_mode", "HostConfig.PortBindings": "ports", "HostConfig.PublishAllPorts": "publish_all_ports",
	"HostConfig.RestartPolicy": "restart", "HostConfig.AutoRemove": "rm", "HostConfig.CapAdd": "capabilities.add",
	"HostConfig.CapDrop": "capabilities.drop", "HostConfig.CgroupnsMode": "cgroupns_mode", "HostConfig.Dns": "dns",
	"HostConfig.DnsOptions": "dns_opts", "HostConfig.DnsSearch": "dns_search", "HostConfig.ExtraHosts": "host",
	"HostConfig.GroupAdd": "group_add", "HostConfig.IpcMode": "ipc_mode", "HostConfig.Links": "links", "HostConfig.PidMode": "pid_mode",
	"HostConfig.Privileged": "privileged", "HostConfig.ReadonlyRootfs": "read_only", "HostConfig.SecurityOpt": "security_opts",
	"HostConfig.StorageOpt": "storage_opts", "HostConfig.UTSMode": "uts_mode", "HostConfig.UsernsMode": "userns_mode",
	"HostConfig.ShmSize": "shm_size", "HostConfig.Sysctls": "sysctls", "HostConfig.Runtime": "runtime", "HostConfig.CpuShares": "cpu_shares",
	"HostConfig.Memory": "memory", "HostConfig.NanoCpus": "cpus", "HostConfig.CgroupParent": "cgroup_parent",
	"HostConfig.CpuPeriod": "cpu_period", "HostConfig.CpuQuota": "cpu_quota", "HostConfig.CpusetCpus": "cpu_set",
	"HostConfig.Devices": "devices", "HostConfig.DeviceCgroupRules": "device_cgroup_rules", "HostConfig.DeviceRequests": "gpus",
	"HostConfig.MemoryReservation": "memory_reservation", "HostConfig.MemorySwap": "memory_swap", "HostConfig.Ulimits": "ulimit",
	"HostConfig.OomScoreAdj": "oom_score_adj", "HostConfig.PidsLimit": "pids_limit", "HostConfig.Init": "init",
	"HostConfig.MaskedPaths": "security_opts", "HostConfig.ReadonlyPaths": "security_opts",
	"NetworkingConfig.EndpointsConfig": "networks_advanced",
}

var volumeAttributes = map[string]string{
	"Name": "name", "Driver": "driver", "DriverOpts": "driver_opts", "Labels": "labels", "ClusterVolumeSpec": "cluster",
}

// wants are better words for what was built, where the value itself says little to the author of a blueprint.
var wants = map[string]string{
	"Image": "var.bothy.image", "Labels": "exactly var.bothy.labels", "HostConfig.NetworkMode": "var.bothy.network",
	"HostConfig.RestartPolicy": `"no"`, "HostConfig.CapDrop": `["ALL"]`, "HostConfig.Init": "true",
}
