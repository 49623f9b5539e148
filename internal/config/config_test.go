package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/bothy-env/bothy/internal/config"
)

var home = []string{"HOME=/home/ada", "PATH=/usr/bin", "XDG_RUNTIME_DIR=/run/user/1000"}

var byValue = cmpopts.EquateComparable(netip.Prefix{})

// load loads with a file of this text ("" for none), these variables and these flags.
func load(t *testing.T, text string, env []string, args ...string) (config.Config, config.Origins, string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bothyd.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("bothyd", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatalf("parse flags: %v", err)
	}
	c, origins, err := config.LoadAs(flags, append(env, home...), file, 1000)
	return c, origins, file, err
}

func TestDefaults(t *testing.T) {
	c, origins, _, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Driver:          config.DriverTerraform,
		StateDir:        "/home/ada/.local/state/bothy",
		Listen:          config.Listen{Unix: "/run/user/1000/bothy/bothyd.sock"},
		Advertise:       "unix:///run/user/1000/bothy/bothyd.sock",
		Database:        "sqlite:///home/ada/.local/state/bothy/bothy.db",
		Terraform:       config.Terraform{Mirror: "/home/ada/.cache/bothy/mirror", Confinement: config.ConfinementPrefer, Warm: true, Timeout: 15 * time.Minute},
		Engine:          config.Engine{Host: "unix:///var/run/docker.sock"},
		Network:         config.Network{Isolation: config.IsolationEnforce, Pool: netip.MustParsePrefix("172.30.0.0/16"), Spare: 10},
		Timing:          config.Timing{WorkLease: 15 * time.Second, Sweep: 30 * time.Second, OrphanGrace: time.Minute, Clock: "elapsed"},
		Concurrency:     c.Concurrency, // depends on the machine
		MaxCopyMiB:      2048,
		MaxStreams:      64,
		Retention:       config.Retention{Events: 2160 * time.Hour, Logs: 720 * time.Hour, Environments: 2160 * time.Hour, Entries: 9600 * time.Hour},
		Log:             config.Log{Level: "info", Format: "auto"},
		ShutdownTimeout: 90 * time.Second,
	}
	if diff := cmp.Diff(want, c, byValue); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if c.Concurrency < 10 {
		t.Errorf("concurrency %d, want at least 10", c.Concurrency)
	}
	for key, origin := range origins {
		if origin != "default" {
			t.Errorf("%s comes from %q", key, origin)
		}
	}
}

func TestRootsDefaults(t *testing.T) {
	c, _, err := config.LoadAs(nil, []string{"BOTHY_CACHE=/cache"}, empty(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.StateDir, c.Listen.Unix, c.Terraform.Mirror}
	if diff := cmp.Diff([]string{"/var/lib/bothy", "/run/bothy/bothyd.sock", "/cache/mirror"}, got); diff != "" {
		t.Error(diff)
	}
}

func empty(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Where nothing is said, people are told where it listens, if that is an address.
func TestAdvertisedByDefault(t *testing.T) {
	secured := []string{"--listen-unix=", "--listen-tls-cert=/c", "--listen-tls-key=/k", "--listen-token-file=/t"}
	for want, args := range map[string][]string{
		"unix:///s/b.sock":         {"--listen-unix=/s/b.sock"},
		"unix:///s/ü%20%s/b.sock":  {"--listen-unix=/s/ü%20%s/b.sock"},
		"https://rack.example:844": append([]string{"--listen-tcp=rack.example:844"}, secured...),
		"https://[::1]:844":        append([]string{"--listen-tcp=[::1]:844"}, secured...),
		"":                         append([]string{"--listen-tcp=0.0.0.0:844"}, secured...),
		"https://x":                append([]string{"--listen-tcp=:0", "--advertise=https://x"}, secured...),
	} {
		c, _, _, err := load(t, "", nil, args...)
		if err != nil || c.Advertise != want {
			t.Errorf("%v: %q, %v; want %q", args, c.Advertise, err, want)
		}
	}
	// A home folder may be called anything: what nobody set keeps no daemon from starting.
	for _, name := range []string{"a b", "$x", "a'b", `a"b`, "a`b", `a\b`, "a;b", "a#b", "a?b"} {
		if c, _, _, err := load(t, "", nil, "--listen-unix=/s/"+name+"/b.sock"); err != nil || c.Advertise != "" {
			t.Errorf("a socket in %q: advertised as %q, %v; want not at all", name, c.Advertise, err)
		}
	}
}

// Each source is put over the one before, and the origin says which won.
func TestPrecedence(t *testing.T) {
	text := "log:\n  level: warn\n  format: text\nconcurrency: 7\nterraform:\n  warm: false\n  timeout: 2m\nnetwork:\n  spare: 0\n"
	env := []string{"BOTHY_LOG_LEVEL=error", "BOTHY_TERRAFORM_TIMEOUT=3m", "BOTHY_TERRAFORM_WARM=true", "DOCKER_HOST=unix:///run/d.sock"}
	c, origins, file, err := load(t, text, env, "--log-level=debug", "--network-spare", "5")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{
		"log.level":         {"debug", "flag --log-level"},
		"log.format":        {"text", "file " + file},
		"concurrency":       {"7", "file " + file},
		"terraform.timeout": {"3m", "environment BOTHY_TERRAFORM_TIMEOUT"},
		"terraform.warm":    {"true", "environment BOTHY_TERRAFORM_WARM"},
		"network.spare":     {"5", "flag --network-spare"},
		"network.isolation": {"enforce", "default"},
		"engine.host":       {"unix:///run/d.sock", "environment DOCKER_HOST"},
	}
	got := map[string][2]string{}
	for _, s := range c.Effective(origins) {
		if _, asked := want[s.Key]; asked {
			got[s.Key] = [2]string{s.Value, s.Origin}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every key can be set from every source, with the same result.
func TestEverySourceSetsEveryKey(t *testing.T) {
	values := map[string]string{
		"state_dir": "/s", "driver": "fake", "listen.unix": "/u.sock", "listen.unix_group": "builders", "listen.tcp": "127.0.0.1:0",
		"listen.tls_cert": "/c.pem", "listen.tls_key": "/k.pem", "listen.token_file": "/t", "listen.allowed_hosts": "a.example,b.example",
		"advertise": "https://rack-1.example:8443", "database": "sqlite:///d.db", "blueprints": "/b1,/b2", "blueprint_overrides": "build,web", "trusted_blueprints": "sha256:a,sha256:b", "organisation": "/o.yaml", "pools": "/p.yaml", "hosts": "/h.yaml",
		"timing.work_lease": "20s", "timing.sweep": "1m", "timing.orphan_grace": "2m", "timing.clock": "machine",
		"terraform.binary": "/tf", "terraform.cli_config": "/rc", "terraform.mirror": "/m", "terraform.confinement": "enforce", "terraform.warm": "false", "terraform.timeout": "1m",
		"engine.host": "tcp://127.0.0.1:2375", "network.isolation": "off", "network.pool": "10.9.0.0/24",
		"network.allow": "10.1.0.0/16,192.168.7.7/32", "network.spare": "0", "concurrency": "1", "max_copy_mib": "7", "max_streams": "9",
		"sandbox.http_proxy": "http://p:1", "sandbox.https_proxy": "https://p:2", "sandbox.no_proxy": "a.example,10.0.0.0/8", "sandbox.ca_file": "/ca",
		"retention.events": "100h", "retention.logs": "50h", "retention.environments": "1000h", "retention.entries": "0s", "retention.receipts": "9000h",
		"log.level": "debug", "log.format": "json", "shutdown_timeout": "1s",
	}
	var env, args []string
	sections := map[string]string{"": ""}
	for key, value := range values {
		env = append(env, "BOTHY_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+value)
		args = append(args, "--"+strings.NewReplacer(".", "-", "_", "-").Replace(key)+"="+value)
		section, name, nested := strings.Cut(key, ".")
		if !nested {
			section, name = "", key
		}
		if strings.Contains(value, ",") {
			value = "[" + value + "]"
		}
		sections[section] += "  " + name + ": " + value + "\n"
	}
	text := strings.ReplaceAll(sections[""], "  ", "")
	delete(sections, "")
	for section, body := range sections {
		text += section + ":\n" + body
	}
	byFile, origins, _, err := load(t, text, nil)
	if err != nil {
		t.Fatalf("file: %v", err)
	}
	for _, s := range byFile.Effective(origins) {
		if want, known := values[s.Key]; !known || s.Value != want {
			t.Errorf("%s is %q, want %q; a new key belongs into this test", s.Key, s.Value, want)
		}
		if !strings.HasPrefix(s.Origin, "file ") {
			t.Errorf("%s comes from %q", s.Key, s.Origin)
		}
	}
	byEnv, _, _, err := load(t, "", env)
	if diff := cmp.Diff(byFile, byEnv, byValue); diff != "" || err != nil {
		t.Errorf("environment: %v (-file +environment):\n%s", err, diff)
	}
	byFlag, _, _, err := load(t, "", nil, args...)
	if diff := cmp.Diff(byFile, byFlag, byValue); diff != "" || err != nil {
		t.Errorf("flags: %v (-file +flags):\n%s", err, diff)
	}
}

func TestPathsAreTakenFromWhereTheyAreSaid(t *testing.T) {
	c, _, file, err := load(t, "state_dir: state\nblueprints: [one, /two]\n", []string{"BOTHY_TERRAFORM_MIRROR=mirror"}, "--listen-unix=./s.sock")
	if err != nil {
		t.Fatal(err)
	}
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(file)
	want := []string{folder + "/state", folder + "/one", "/two", working + "/mirror", working + "/s.sock"}
	if diff := cmp.Diff(want, []string{c.StateDir, c.Blueprints[0], c.Blueprints[1], c.Terraform.Mirror, c.Listen.Unix}); diff != "" {
		t.Error(diff)
	}
}

func TestTheFileIsNamed(t *testing.T) {
	file := empty(t)
	if err := os.WriteFile(file, []byte("concurrency: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, _, err := config.LoadAs(nil, append(home, "BOTHY_CONFIG="+file), "", 1000); err != nil || c.Concurrency != 9 {
		t.Errorf("by BOTHY_CONFIG: concurrency %d, %v; want 9", c.Concurrency, err)
	}
	if _, _, err := config.LoadAs(nil, home, file+".no", 1000); err == nil || !strings.Contains(err.Error(), file+".no") {
		t.Errorf("a named file that is not there: %v; want an error that names it", err)
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	for _, dsn := range []string{
		"postgres://bothy:hunter2@db.example/bothy", "postgres://db.example/bothy?password=hunter2&sslmode=require",
		"postgres://bothy:hunter2@db.example:nonsense/bothy",
	} {
		c, origins, _, err := load(t, "", []string{"BOTHY_DATABASE=" + dsn})
		if err != nil {
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
			continue
		}
		if c.Database != dsn {
			t.Errorf("the value itself is %q", c.Database)
		}
		for _, s := range c.Effective(origins) {
			if strings.Contains(s.Value, "hunter2") {
				t.Errorf("%s shows the password: %s", s.Key, s.Value)
			}
		}
	}
	if _, _, _, err := load(t, "", []string{"BOTHY_DATABASE=mysql://bothy:hunter2@db.example"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a database of another kind: %v; want an error without the password", err)
	}
}

// The sample holds every key; as it is it says nothing, and uncommented it says the defaults.
func TestSample(t *testing.T) {
	getenv := func(name string) string {
		for _, v := range home {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
	sample := config.SampleAs(1000, getenv)
	asIs, origins, _, err := load(t, sample, nil)
	if err != nil {
		t.Fatalf("the sample does not load: %v\n%s", err, sample)
	}
	var lines []string
	for line := range strings.Lines(sample) {
		bare := strings.TrimLeft(line, " ")
		if key, comment := strings.CutPrefix(bare, "# "); comment && !strings.HasSuffix(line, ".\n") {
			line = line[:len(line)-len(bare)] + key
		}
		lines = append(lines, line)
	}
	uncommented, after, _, err := load(t, strings.Join(lines, ""), nil)
	if err != nil {
		t.Fatalf("the uncommented sample does not load: %v\n%s", err, strings.Join(lines, ""))
	}
	if diff := cmp.Diff(asIs, uncommented, byValue, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-defaults +sample):\n%s", diff)
	}
	for key := range origins {
		if origins[key] != "default" || !strings.HasPrefix(after[key], "file ") {
			t.Errorf("%s: from %q as it is and from %q uncommented", key, origins[key], after[key])
		}
	}
}

// Every field has a doc comment, a key and a help text; flags show the help.
func TestEveryFieldIsDocumented(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	ast.Inspect(parsed, func(n ast.Node) bool {
		structure, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		documented := false
		for _, f := range structure.Fields.List {
			count++
			if f.Tag == nil || !strings.Contains(f.Tag.Value, `key:"`) {
				t.Errorf("field %v has no key", f.Names)
			}
			// One comment may speak for the fields that follow it and are named in it.
			if f.Doc != nil {
				documented = true
			}
			if f.Doc == nil && !documented {
				t.Errorf("field %v has no doc comment", f.Names)
			}
		}
		return true
	})
	if count == 0 {
		t.Fatal("no field was looked at")
	}
	flags := pflag.NewFlagSet("bothyd", pflag.ContinueOnError)
	config.AddFlags(flags)
	shown := 0
	flags.VisitAll(func(f *pflag.Flag) {
		shown++
		if len(f.Usage) < 10 || strings.HasSuffix(f.Usage, ".") {
			t.Errorf("--%s has the help %q; want a phrase without a full stop", f.Name, f.Usage)
		}
	})
	if shown < 20 {
		t.Errorf("%d flags", shown)
	}
}
