package seccomp

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden file anew")

// most bounds the profile, in bytes: it is in Terraform's inputs and state, and in the engine's record, of every sandbox.
const most = 8 << 10

// TestProfileGolden: a new version of the base changes what sandboxes may call only when somebody has read how.
func TestProfileGolden(t *testing.T) {
	const file = "testdata/profile.json"
	if *update {
		if err := os.WriteFile(file, []byte(Profile()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), Profile()); diff != "" {
		t.Errorf("profile (-want +got); go test -update writes it anew:\n%s", diff)
	}
	if len(Profile()) > most {
		t.Errorf("%d bytes, more than %d", len(Profile()), most)
	}
}

// TestProfileOldEngine: Docker 20.10 knows these fields alone; others it would pass over in silence.
func TestProfileOldEngine(t *testing.T) {
	known := map[string]any{
		"": []string{"defaultAction", "archMap", "syscalls"}, "archMap": []string{"architecture", "subArchitectures"},
		"syscalls": []string{"names", "action", "args", "errnoRet", "includes", "excludes"}, "args": []string{"index", "value", "valueTwo", "op"},
		"includes": []string{"caps", "arches", "minKernel"}, "excludes": []string{"caps", "arches", "minKernel"},
	}
	var walk func(in string, v any)
	walk = func(in string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if !slices.Contains(known[in].([]string), key) {
					t.Errorf("field %q in %q", key, in)
				}
				walk(key, value)
			}
		case []any:
			for _, e := range v {
				walk(in, e)
			}
		}
	}
	var all any
	if err := json.Unmarshal([]byte(Profile()), &all); err != nil {
		t.Fatal(err)
	}
	walk("", all)
}

// TestProfileRefuses reads the profile as the engine does, for a container with every capability and for one with none.
func TestProfileRefuses(t *testing.T) {
	// As a later version of the base may look: all that must never be allowed is, without a condition.
	base := seccomp.DefaultProfile()
	base.Syscalls = append(base.Syscalls, &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{Names: slices.Concat(never, []string{"read"}), Action: specs.ActAllow}})
	text, err := json.Marshal(build(base))
	if err != nil {
		t.Fatal(err)
	}
	for what, body := range map[string]string{"profile": Profile(), "of a looser base": string(text)} {
		for _, caps := range [][]string{nil, {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT", "CAP_DAC_READ_SEARCH", "CAP_BPF"}} {
			spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
			p, err := seccomp.LoadProfile(body, spec)
			if err != nil {
				t.Fatal(err)
			}
			if p.DefaultAction != specs.ActErrno {
				t.Errorf("%s: what is not listed is %s", what, p.DefaultAction)
			}
			for _, rule := range p.Syscalls {
				for _, name := range rule.Names {
					switch {
					case rule.Action != specs.ActAllow:
					case slices.Contains(never, name), slices.Contains(refused, name):
						t.Errorf("%s, capabilities %v: %s is allowed", what, caps, name)
					case slices.Contains([]string{"socket", "socketpair", "clone", "personality"}, name) && len(rule.Args) != 1:
						t.Errorf("%s, capabilities %v: %s is allowed whatever its argument", what, caps, name)
					}
				}
			}
		}
	}
}

func TestIs(t *testing.T) {
	for name, c := range map[string]struct {
		options []string
		want    bool
	}{
		"it":           {[]string{"no-new-privileges:true", Option()}, true},
		"none":         {[]string{"no-new-privileges:true"}, false},
		"another":      {[]string{"seccomp=unconfined"}, false},
		"another also": {[]string{Option(), "seccomp=unconfined"}, false},
		"cut":          {[]string{Option()[:len(Option())-1]}, false},
	} {
		if got := Is(c.options); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
