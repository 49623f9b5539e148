package blueprint

import (
	"fmt"
	"slices"
	"strings"
)

// What a resource's settings may be, as far as it can be seen without a plan:
// nothing by which a sandbox reaches the machine below it.
var (
	// never are attributes and blocks that may not be there, with the reason.
	never = map[string]string{
		"provisioner":         "what runs programs has no place in a blueprint",
		"connection":          "what runs programs has no place in a blueprint",
		"privileged":          "a privileged container owns the machine",
		"devices":             "a sandbox has no devices of the machine",
		"device_cgroup_rules": "a sandbox has no devices of the machine",
		"host_path":           "a sandbox sees no folder of the machine",
		"driver_opts":         "a volume's options can name a folder of the machine",
		"driver_options":      "a volume's options can name a folder of the machine",
		"upload":              "files come by bothy, not from the disk of the machine",
		"from_container":      "a sandbox shares no volumes",
		"pid_mode":            "a sandbox sees no processes but its own",
		"userns_mode":         "the engine's own setting holds",
		"cgroup_parent":       "limits are the size's",
		"publish_all_ports":   "a sandbox's ports are not published on the machine",
		"ports":               "a sandbox's ports are not published on the machine",
		"networks_advanced":   "a sandbox joins its own network by network_mode = var.bothy.network",
		"hostname":            "a sandbox has the host name of its network",
		"domainname":          "a sandbox has the host name of its network",
		"host":                "a sandbox has the hosts file of its network",
		"dns":                 "a sandbox has the resolver of its network",
	}
	// only are attributes that may be set to nothing else, by the block they stand in.
	only = map[string]map[string][]string{
		"": {
			"network_mode":  {"var.bothy.network", `"none"`},
			"ipc_mode":      {`"private"`, `"none"`},
			"cgroupns_mode": {`"private"`},
		},
		"mounts": {"type": {`"tmpfs"`, `"volume"`}},
	}
)

// settings looks at a resource's body and at the blocks in it. within is the
// name of the block that the body is of, "" for the resource itself.
func (c *tfChecker) settings(b hclBlock, within string) {
	for _, a := range b.body.attributes {
		value := spelled(a.value)
		if why := never[a.name]; why != "" {
			c.fail(a.line, a.col, a.name, "none of it: "+why)
		}
		if allowed := only[within][a.name]; len(allowed) > 0 && !slices.Contains(allowed, value) {
			c.fail(a.line, a.col, fmt.Sprintf("%s = %s", a.name, value), strings.Join(allowed, " or ")+", written out")
		}
		if a.name == "security_opts" && strings.Contains(value, "unconfined") {
			c.fail(a.line, a.col, "an unconfined sandbox", "the engine's default profiles")
		}
	}
	for _, inner := range b.body.blocks {
		switch name := inner.kind; {
		case name == "dynamic" && len(inner.labels) == 1:
			c.dynamic(inner)
		case never[name] != "":
			c.fail(inner.line, inner.col, name, "none of it: "+never[name])
		default:
			c.settings(inner, name)
		}
	}
}

// dynamic looks at a block that Terraform makes blocks from: its content is their body.
func (c *tfChecker) dynamic(b hclBlock) {
	name := b.labels[0]
	if why := never[name]; why != "" {
		c.fail(b.line, b.col, name, "none of it: "+why)
		return
	}
	for _, inner := range b.body.blocks {
		c.settings(inner, name)
	}
}

// networked reports whether a container says which network it is on.
func networked(b hclBody) bool {
	return slices.ContainsFunc(b.attributes, func(a hclAttribute) bool { return a.name == "network_mode" })
}
