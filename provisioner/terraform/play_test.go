package terraform_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner/terraform"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// script says what the fake Terraform and its fake provider do. It is a file
// beside their binary, read anew by each run.
type script struct {
	Version string
	// Init, Validate, Apply, Destroy name what happens: see playTerraform. "" succeeds.
	Init, Validate, Apply, Destroy string
	// Says is the diagnostic of "diagnostic", or what is printed.
	Says string
	// OnlyWarm has Apply and Destroy hold only for runs that reattach.
	OnlyWarm bool
	// Provider is what the provider does: "" serves, "silent", "exit", "garbage", "tcp".
	Provider string
}

// call is one run of the fake Terraform.
type call struct {
	Verb string
	Args []string
	Dir  string
	Env  []string
	// Inputs is what inputs it found, State the state before it ran.
	Inputs, State string
	Pid           int
}

func (c call) env(name string) (string, bool) {
	for _, v := range c.Env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// stage is a folder with a fake Terraform, its provider, and their script.
type stage struct {
	t   *testing.T
	dir string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"terraform", "terraform-provider-fake_v1.0.0", "daemon"} {
		// A link: the name is told apart by argv[0].
		if err := os.Symlink(self, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	held := filepath.Join(s.dir, "mirror", "registry.example/bothy/fake/1.0.0/linux_amd64")
	if err := os.MkdirAll(held, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(s.dir, "terraform-provider-fake_v1.0.0"), filepath.Join(held, "terraform-provider-fake_v1.0.0")); err != nil {
		t.Fatal(err)
	}
	s.play(script{})
	return s
}

func (s *stage) play(next script) {
	s.t.Helper()
	if next.Version == "" {
		next.Version = "1.11.4"
	}
	writeJSON(s.t, filepath.Join(s.dir, "script.json"), next)
}

func (s *stage) config() terraform.Config {
	return terraform.Config{
		Binary: filepath.Join(s.dir, "terraform"), WorkDir: filepath.Join(s.dir, "driver"),
		EngineHost: "unix:///engine.sock", Logger: testLogger(s.t),
		Mirror: filepath.Join(s.dir, "mirror"), Providers: []string{"registry.example/bothy/fake"},
		Confinement: confine.Off, // the players write down what they see, beside their script
	}
}

// calls so far, of one verb or of all.
func (s *stage) calls(verb string) []call {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	var found []call
	for line := range strings.Lines(string(data)) {
		var c call
		if json.Unmarshal([]byte(line), &c) == nil && (verb == "" || c.Verb == verb) { // the last line may not be whole yet
			found = append(found, c)
		}
	}
	return found
}

func writeJSON(t *testing.T, path string, value any) {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// ---- what follows runs in the child ----

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func stageOf() (dir string, s script) {
	dir = filepath.Dir(os.Args[0])
	if target, err := os.Readlink(os.Args[0]); err == nil && filepath.Base(target) == filepath.Base(os.Args[0]) {
		dir = filepath.Dir(target) // the provider is run through the template's link to it
	}
	data, err := os.ReadFile(filepath.Join(dir, "script.json"))
	must(err)
	must(json.Unmarshal(data, &s))
	return dir, s
}

func playTerraform() int {
	dir, s := stageOf()
	verb := os.Args[1]
	record(dir, verb)
	_, warm := os.LookupEnv("TF_REATTACH_PROVIDERS")
	does := map[string]string{"init": s.Init, "validate": s.Validate, "apply": s.Apply, "destroy": s.Destroy}[verb]
	if s.OnlyWarm && !warm {
		does = ""
	}
	if code, done := misbehave(does, s.Says, dir); done {
		return code
	}
	switch verb {
	case "version":
		if s.Version == "garbage" {
			fmt.Println("Welcome to something else")
			return 0
		}
		// As OpenTofu does, which once made a fresh daemon never ready.
		if _, err := os.Stat(os.Getenv("TF_CLI_CONFIG_FILE")); err != nil {
			fmt.Println("Warning: Unable to open CLI configuration file")
		}
		fmt.Printf(`{"terraform_version":%q}`, s.Version)
	case "init":
		held := "registry.example/bothy/fake/1.0.0/linux_amd64"
		must(os.MkdirAll(filepath.Dir(".terraform/providers/"+held), 0o700))
		must(os.Symlink(filepath.Join(dir, "mirror", held), ".terraform/providers/"+held))
		must(os.WriteFile(".terraform.lock.hcl", []byte("provider \"registry.example/bothy/fake\" {\n  version = \"1.0.0\"\n  hashes = [\n    \"h1:x\",\n  ]\n}\n"), 0o600))
		if does == "backend" {
			must(os.WriteFile(".terraform/terraform.tfstate", []byte("{}"), 0o600))
		}
	case "validate":
		if does == "" {
			s.Says = ""
		}
		fmt.Printf(`{"format_version":"1.0","valid":%v,"diagnostics":[%s]}`, does == "", s.Says)
	case "apply":
		doApply(does, s)
	case "destroy":
		told("apply_start", "delete", "fake.x: Destroying...")
		told("apply_complete", "delete", "fake.x: Destruction complete")
		saveState(`[]`, `{}`)
	}
	return 0
}

func record(dir, verb string) {
	cwd, err := os.Getwd()
	must(err)
	inputs, _ := os.ReadFile("bothy.auto.tfvars.json")
	state, _ := os.ReadFile("terraform.tfstate")
	line, err := json.Marshal(call{verb, os.Args[1:], cwd, os.Environ(), string(inputs), string(state), os.Getpid()})
	must(err)
	f, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(err)
	_, err = f.Write(append(line, '\n'))
	must(err)
	must(f.Close())
}

// misbehave does what a healthy Terraform does not; done when that is all.
func misbehave(does, text, dir string) (code int, done bool) {
	switch does {
	case "diagnostic", "begun-diagnostic":
		if does == "begun-diagnostic" {
			told("apply_start", "create", "fake.x: Creating...")
		}
		line, err := json.Marshal(map[string]any{"@level": "error", "@message": "Error: " + text, "type": "diagnostic",
			"diagnostic": map[string]any{"severity": "error", "summary": text, "detail": ""}})
		must(err)
		fmt.Println(string(line))
		return 1, true
	case "stderr":
		fmt.Fprintln(os.Stderr, text)
		return 1, true
	case "garbage":
		fmt.Println("\x00\xff{]", strings.Repeat("x", 3<<20), "\n"+text)
		return 3, true
	case "panic":
		fmt.Fprintln(os.Stderr, "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.main()")
		return 2, true
	case "flood":
		for line := strings.Repeat("x", 1000); ; {
			if _, err := fmt.Println(line); err != nil {
				return 1, true
			}
		}
	case "126":
		return 126, true
	case "127":
		return 127, true
	case "suicide":
		must(syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {}
	case "hang", "stubborn", "orphan":
		hang(does, dir)
		return 1, true
	}
	return 0, false
}

// hang waits for an interrupt; "stubborn" does not heed it, "orphan" leaves a child behind as well.
func hang(does, dir string) {
	told("apply_start", "create", "fake.x: Creating...")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	if does == "orphan" {
		child := exec.Command("/bin/sleep", "600")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		must(child.Start())
		must(os.WriteFile(filepath.Join(dir, "orphan.new"), []byte(fmt.Sprint(child.Process.Pid)), 0o600))
		must(os.Rename(filepath.Join(dir, "orphan.new"), filepath.Join(dir, "orphan")))
	}
	<-signals
	if does != "hang" {
		select {}
	}
	saveState(`[]`, `{}`)
}

func doApply(does string, s script) {
	told("version", "", "Terraform")
	told("planned_change", "create", "fake.x: Plan to create")
	told("apply_start", "create", "fake.x: Creating...")
	told("apply_complete", "create", "fake.x: Creation complete")
	resource := `[{"mode":"data","type":"d","instances":[{}]},{"mode":"managed","type":"docker_container","instances":[{"attributes":{"id":"made","must_run":%v}}]}]`
	switch does {
	case "no-output":
		saveState(fmt.Sprintf(resource, true), `{}`)
	case "stopped":
		saveState(fmt.Sprintf(resource, false), `{"bothy":{"value":{"id":"made"}}}`)
	case "truncated":
		must(os.WriteFile("terraform.tfstate", []byte(`{"version":4,"serial":1,"lin`), 0o600))
	case "errored":
		saveState(fmt.Sprintf(resource, true), `{"bothy":{"value":{"id":"made"}}}`)
		must(os.Rename("terraform.tfstate", "errored.tfstate"))
	default:
		saveState(fmt.Sprintf(resource, true), `{"bothy":{"value":{"id":"made"}}}`)
	}
}

func told(kind, action, text string) {
	fmt.Printf("{\"@level\":\"info\",\"@message\":%q,\"@timestamp\":\"2026-01-02T03:04:05.6Z\",\"type\":%q,\"hook\":{\"action\":%q}}\n", text, kind, action)
}

func saveState(resources, outputs string) {
	var before struct {
		Serial  int64
		Lineage string
	}
	before.Lineage = fmt.Sprint("lineage-", os.Getpid())
	if data, err := os.ReadFile("terraform.tfstate"); err == nil {
		_ = json.Unmarshal(data, &before)
	}
	must(os.WriteFile("terraform.tfstate", fmt.Appendf(nil, `{"version":4,"serial":%d,"lineage":%q,"outputs":%s,"resources":%s}`,
		before.Serial+1, before.Lineage, outputs, resources), 0o600))
}

func playProvider() int {
	dir, s := stageOf()
	record(dir, "provider")
	if !slices.Equal(os.Args[1:], []string{"-debug"}) {
		return 1
	}
	network := "unix"
	switch s.Provider {
	case "exit":
		return 1
	case "garbage":
		fmt.Println("TF_REATTACH_PROVIDERS='{nonsense}'")
	case "silent":
	case "tcp":
		network = "tcp"
		fallthrough
	default:
		info := map[string]any{"registry.other/bothy/fake": map[string]any{
			"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.Getpid(), "Test": true,
			"Addr": map[string]string{"Network": network, "String": filepath.Join(os.Getenv("TMPDIR"), "plugin1")}}}
		text, err := json.Marshal(info)
		must(err)
		fmt.Printf("Provider started.\n\n\tTF_REATTACH_PROVIDERS='%s'\n\n", text)
	}
	select {}
}

// playDaemon opens a driver with a warm provider, says so, and waits to be killed.
func playDaemon() int {
	dir, _ := stageOf()
	d, err := terraform.New(terraform.Config{
		Binary: filepath.Join(dir, "terraform"), WorkDir: filepath.Join(dir, "driver"), Warm: true,
		Mirror: filepath.Join(dir, "mirror"), Providers: []string{"registry.example/bothy/fake"}, Confinement: confine.Off,
	})
	must(err)
	data, err := os.ReadFile(filepath.Join(dir, "blueprint.json"))
	must(err)
	spec := newSpec()
	must(json.Unmarshal(data, &spec.Blueprint))
	must(d.Prepare(context.Background(), spec.Blueprint))
	for d.Stats().Idle == 0 {
		time.Sleep(time.Millisecond) // until the spare is there; the test bounds it
	}
	fmt.Println("ready")
	_, err = d.Create(context.Background(), spec, nil)
	fmt.Println("ended", err)
	return 1
}

// envOf a call, sorted, names only.
func (c call) envNames() []string {
	names := map[string]bool{}
	for _, v := range c.Env {
		name, _, _ := strings.Cut(v, "=")
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}
