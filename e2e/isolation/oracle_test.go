//go:build linux

package isolation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// oracle knows what a sandbox of the built-in blueprint is, by the engine's own words and without any code of bothy's.
type oracle struct {
	t *testing.T
	// clean is what the engine tells of a sandbox of the built-in blueprint.
	clean map[string]string
}

// trial is one hostile blueprint with its baits, and what it reached.
type trial struct {
	*oracle
	hostile
	// run begins the names of what it makes that is not the environment's, and of the baits.
	run string
	// canary is the text of a file of the host's, listed the name of one beside it, and program a file that only a program
	// which runs on the host can make.
	canary, listed, program string
	// container and volume are another tenant's; "" when the blueprint is not after them.
	container, volume string
}

// manifestName is the line of blueprint.yaml that names it: each has its own.
var manifestName = regexp.MustCompile(`(?m)^name: .*$`)

// lay lays the baits that a hostile blueprint is after.
func (o *oracle) lay(h hostile) (*trial, error) {
	c := &trial{oracle: o, hostile: h, run: "bothy-iso-" + token()[:12], canary: "canary-" + token(), listed: "canary-" + token()}
	folder := o.t.TempDir()
	c.program = filepath.Join(folder, "ran")
	file := filepath.Join(folder, "file")
	for path, text := range map[string]string{file: c.canary, filepath.Join(folder, c.listed): ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	label := "bothy.isolation-test=" + c.run
	o.t.Cleanup(func() {
		for _, kind := range []string{"container", "volume"} {
			for _, name := range labelled(o.t, kind, label) {
				remove(o.t, kind, name)
			}
		}
	})
	text := strings.Join(slices.Collect(maps.Values(h.files)), "\n")
	if strings.Contains(text, "{FOREIGN VOLUME}") {
		c.volume = c.run + "-volume"
		if _, err := command("docker", "volume", "create", "--label", label, c.volume); err != nil {
			return nil, err
		}
	}
	if strings.Contains(text, "{FOREIGN CONTAINER}") {
		id, err := command("docker", "run", "-d", "--rm", "--network", "none", "--label", label, "-v", probePath()+":"+inside+":ro",
			"--name", c.run+"-container", "--entrypoint", inside, image, "wait")
		if err != nil {
			return nil, err
		}
		c.container = id
	}
	filler := strings.NewReplacer("{RUN}", c.run, "{CANARY FILE}", file, "{CANARY FOLDER}", folder,
		"{PROGRAM CANARY}", c.program, "{FOREIGN VOLUME}", c.volume, "{FOREIGN CONTAINER}", c.container)
	c.files = maps.Clone(h.files)
	for name, text := range c.files {
		c.files[name] = filler.Replace(text)
	}
	c.files["blueprint.yaml"] = manifestName.ReplaceAllString(c.files["blueprint.yaml"], "name: "+h.name)
	return c, nil
}

// judgedFields are what a container must have as a sandbox of the built-in blueprint has it.
var judgedFields = []string{
	"HostConfig.Privileged", "HostConfig.PidMode", "HostConfig.IpcMode", "HostConfig.UTSMode", "HostConfig.UsernsMode", "HostConfig.CgroupnsMode",
	"HostConfig.CgroupParent", "HostConfig.SecurityOpt", "HostConfig.CapAdd", "HostConfig.CapDrop", "HostConfig.Devices", "HostConfig.DeviceRequests",
	"HostConfig.DeviceCgroupRules", "HostConfig.Binds", "HostConfig.VolumesFrom", "HostConfig.PortBindings", "HostConfig.PublishAllPorts",
	"HostConfig.Runtime", "HostConfig.Sysctls", "HostConfig.GroupAdd", "HostConfig.Links", "HostConfig.ExtraHosts", "HostConfig.Dns",
	"HostConfig.RestartPolicy", "HostConfig.AutoRemove", "HostConfig.MaskedPaths", "HostConfig.ReadonlyPaths", "HostConfig.OomScoreAdj",
	"HostConfig.LogConfig", "HostConfig.StorageOpt", "HostConfig.Memory", "HostConfig.MemorySwap", "HostConfig.NanoCpus", "HostConfig.CpuQuota",
	"HostConfig.CpuPeriod", "HostConfig.Ulimits", "HostConfig.Tmpfs", "HostConfig.ShmSize", "HostConfig.Mounts", "Mounts", "Image",
	"Config.Healthcheck", "Config.StopTimeout", "Config.Hostname",
}

// unhanded are fields that give nothing as long as nobody is handed the container.
var unhanded = []string{"HostConfig.Tmpfs", "Config.Hostname"}

// fields gives what the engine tells of a container, those of judgedFields, and the keys of its labels.
func (o *oracle) fields(id string) (map[string]string, error) {
	text, err := command("docker", "inspect", id)
	if err != nil {
		return nil, err
	}
	var all []map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 {
		return nil, errors.Join(err, fmt.Errorf("docker inspect %s: %d containers", id, len(all)))
	}
	found := map[string]string{}
	for _, name := range judgedFields {
		var value any = all[0]
		for part := range strings.SplitSeq(name, ".") {
			object, _ := value.(map[string]any)
			value = object[part]
		}
		if found[name], err = plain(value); err != nil {
			return nil, err
		}
	}
	labels, _ := all[0]["Config"].(map[string]any)["Labels"].(map[string]any)
	for name := range labels {
		found["label "+name] = "set"
	}
	host, _ := all[0]["HostConfig"].(map[string]any)
	found["network"] = fmt.Sprint(host["NetworkMode"])
	return found, nil
}

// ofOne is what differs from one sandbox to the next: ids of containers and volumes, the folder of its own /etc, and owner labels.
var ofOne = regexp.MustCompile(`[0-9a-f]{64}|"device":"[^"]*/etc/live/[a-z0-9]+\.[A-Z2-7]{26}",?|"bothy\.[a-z-]+":"[^"]*",?`)

// plain gives a field's value as a text that is the same for each sandbox of one blueprint: the engine tells lists in no
// order, and null, an empty list and none say the same.
func plain(value any) (string, error) {
	if list, ok := value.([]any); ok {
		texts := make([]string, len(list))
		for i, v := range list {
			text, err := plain(v)
			if err != nil {
				return "", err
			}
			texts[i] = text
		}
		slices.Sort(texts)
		return strings.Join(texts, " "), nil
	}
	if v := reflect.ValueOf(value); !v.IsValid() || v.IsZero() || v.Kind() == reflect.Map && v.Len() == 0 {
		return "", nil
	}
	text, err := json.Marshal(value)
	return ofOne.ReplaceAllString(string(text), ""), err
}

// look gives what a blueprint reached. name is the environment's at the engine, label finds its things, network is the one
// that it may have; text is all that it was told.
func (o *trial) look(name, label, network, text string, made bool) []string {
	var reached []string
	add := func(format string, args ...any) { reached = append(reached, fmt.Sprintf(format, args...)) }
	if o.leaked(text) {
		add("it read a file of the host's, and says so")
	}
	if o.kind == "reading" && strings.Contains(text, o.run+"-container") {
		add("it saw another tenant's container")
	}
	if _, err := os.Stat(o.program); err == nil {
		add("it ran a program on the host")
	}
	seen := map[string]bool{}
	for _, filter := range []string{"name=" + name, "label=" + label, "name=" + o.run} {
		ids, err := command("docker", "ps", "-aq", "--no-trunc", "--filter", filter)
		if err != nil {
			add("the engine cannot be asked: %v", err)
		}
		for id := range strings.FieldsSeq(ids) {
			if id == o.container || seen[id] {
				continue
			}
			seen[id] = true
			reached = append(reached, o.compare(id, network, made)...)
		}
		for _, kind := range []string{"volume", "network", "image"} {
			reached = append(reached, o.others(kind, filter)...)
		}
	}
	return reached
}

// leaked reports whether a text holds what only a look at the host's files can tell.
func (o *trial) leaked(text string) bool {
	return strings.Contains(text, o.canary) || strings.Contains(text, o.listed)
}

// anySlot begins what stands for any of the networks of an instance, where it is not known which one is the environment's.
const anySlot = "any of "

// compare looks at one container: it must be what a sandbox of the built-in blueprint is.
func (o *trial) compare(id, network string, made bool) (reached []string) {
	found, err := o.fields(id)
	if err != nil {
		return []string{err.Error()}
	}
	if o.clean == nil {
		o.clean = found // the built-in blueprint goes first, and alone
		return nil
	}
	env, err := command("docker", "inspect", "-f", "{{json .Config}} {{json .Mounts}}", id)
	if err != nil || o.leaked(env) {
		reached = append(reached, fmt.Sprintf("the container holds a file of the host's (%v)", err))
	}
	if upload, err := command("docker", "cp", id+":/leak", "-"); err == nil && o.leaked(upload) {
		reached = append(reached, "the container has a file of the host's")
	}
	for name, value := range found {
		if !made && slices.Contains(unhanded, name) {
			continue
		}
		if name != "network" && value != o.clean[name] {
			reached = append(reached, fmt.Sprintf("%s is %q", name, value))
		}
	}
	for name := range o.clean {
		if _, ok := found[name]; !ok {
			reached = append(reached, name+" is missing")
		}
	}
	mode := found["network"]
	if instance, ok := strings.CutPrefix(network, anySlot); ok {
		slot, err := command("docker", "inspect", "-f", `{{index .Config.Labels "bothy.instance"}} {{index .Config.Labels "bothy.slot"}}`, strings.TrimPrefix(mode, "container:"))
		if mode != "none" && (err != nil || !strings.HasPrefix(slot, instance+" ")) {
			reached = append(reached, "network_mode is "+mode)
		}
		return reached
	}
	holder, err := command("docker", "inspect", "-f", "{{.Id}}", strings.TrimPrefix(network, "container:"))
	if mode != "none" && mode != network && (err != nil || mode != "container:"+holder) {
		reached = append(reached, "network_mode is "+mode)
	}
	return reached
}

// others looks for what is no container.
func (o *trial) others(kind, filter string) (reached []string) {
	list := []string{kind, "ls", "--format", "{{.Name}}", "--filter", filter}
	if kind == "image" {
		if filter != "name="+o.run {
			return nil
		}
		list = []string{"images", "--format", "{{.Repository}}", "--filter", "reference=" + o.run + "/*"}
	}
	names, err := command("docker", list...)
	if err != nil {
		return []string{err.Error()}
	}
	for name := range strings.FieldsSeq(names) {
		if name != o.volume && !(kind == "volume" && o.owned(name)) {
			reached = append(reached, fmt.Sprintf("the %s %s", kind, name))
		}
	}
	return reached
}

// owned reports whether a volume is what an environment may have: one of its own, which is no folder of the machine's.
func (o *trial) owned(name string) bool {
	said, err := command("docker", "volume", "inspect", "-f", `{{.Driver}} {{index .Options "device"}}{{index .Options "type"}} {{index .Labels "bothy.environment"}}`, name)
	if err != nil && strings.Contains(err.Error(), "no such volume") {
		return true // it goes while this looks
	}
	driver, rest, _ := strings.Cut(said, " ")
	options, environment, _ := strings.Cut(rest, " ")
	terminals := options == "devpts"+"devpts"                          // a file system of terminals, which is the sandbox's own
	nameless := regexp.MustCompile("^[0-9a-f]{64}$").MatchString(name) // of its own /etc
	// The copy of its image's /etc that bothyd made for this environment alone; the folder's name is bothyd's.
	etc := nameless && regexp.MustCompile(`/etc/live/`+regexp.QuoteMeta(strings.TrimSpace(environment))+`\.[A-Z2-7]{26}none$`).MatchString(options)
	return err == nil && driver == "local" && environment != "" && (terminals || etc || options == "" && (nameless || strings.Contains(name, environment)))
}

// gone reports what is left of an environment, and of what hostile blueprints name on their own, and removes it.
func (o *trial) gone(name string) error {
	var errs []error
	for _, filter := range []string{"name=" + name, "name=" + o.run} {
		for kind, list := range map[string][]string{
			"container": {"ps", "-aq", "--no-trunc"}, "volume": {"volume", "ls", "-q"}, "network": {"network", "ls", "--format", "{{.Name}}"},
		} {
			names, err := command("docker", append(list, "--filter", filter)...)
			errs = append(errs, err)
			for left := range strings.FieldsSeq(names) {
				if left != o.container && left != o.volume {
					errs = append(errs, fmt.Errorf("the %s %s is left", kind, left))
					remove(o.t, kind, left)
				}
			}
		}
	}
	tags, err := command("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference="+o.run+"/*")
	errs = append(errs, err)
	for tag := range strings.FieldsSeq(tags) {
		_, err := command("docker", "rmi", tag)
		errs = append(errs, fmt.Errorf("the image %s is left", tag), err)
	}
	return errors.Join(errs...)
}

// robbed reports that what is another tenant's is gone.
func (o *trial) robbed() error {
	var errs []error
	if o.volume != "" {
		if _, err := command("docker", "volume", "inspect", o.volume); err != nil {
			errs = append(errs, fmt.Errorf("another tenant's volume is gone: %w", err))
		}
	}
	if o.container != "" {
		if _, err := command("docker", "inspect", o.container); err != nil {
			errs = append(errs, fmt.Errorf("another tenant's container is gone: %w", err))
		}
	}
	return errors.Join(errs...)
}
