package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/cli"
	"github.com/bothy-env/bothy/internal/cli/clitest"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// A copy through the standard streams that takes long shows how much has passed, on the error stream: in the output there is the copy
// alone. Where the stream is the terminal itself nothing is shown.
func TestPipedCopiesShowProgress(t *testing.T) {
	root := t.TempDir()
	server, err := clitest.Start(root)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.Add("web", "leased"); err != nil {
		t.Fatal(err)
	}
	workspace := filepath.Join(root, "web", "workspace")
	if err := os.WriteFile(filepath.Join(workspace, "big"), bytes.Repeat([]byte("b"), 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args     []string
		terminal bool
		want     string
	}{
		"in":                 {[]string{"cp", "-", "web:new"}, false, "Reading stdin: "},
		"out":                {[]string{"cp", "web:big", "-"}, false, "Copying files: "},
		"in of a terminal":   {[]string{"cp", "-", "web:typed"}, true, ""},
		"out to a terminal":  {[]string{"cp", "web:big", "-"}, true, ""},
		"out, for a machine": {[]string{"cp", "web:big", "-", "--output", "json"}, false, ""},
	} {
		at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
		now := func() time.Time { at = at.Add(3 * time.Second); return at } // each look takes long
		var out, errs bytes.Buffer
		code := cli.Main(cli.Process{
			Args: append([]string{"--host", "unix://" + server.Socket}, c.args...), Version: "1.2.3", Now: now,
			Getenv: func(string) string { return "" }, NewKey: func() string { return "key" },
			IO: &iostreams.IO{In: strings.NewReader(strings.Repeat("i", 3<<20)), Out: &out, Err: &errs, InTTY: c.terminal, OutTTY: c.terminal},
		})
		if code != 0 || c.args[2] == "-" && out.Len() != 3<<20 {
			t.Errorf("%s: code %d, %d bytes, %s", name, code, out.Len(), errs.String())
		}
		shown := strings.Contains(errs.String(), c.want+"1") || strings.Contains(errs.String(), c.want+"2") || strings.Contains(errs.String(), c.want+"3")
		if c.want == "" {
			shown = !strings.Contains(errs.String(), "Reading stdin") && (c.args[1] == "-" || errs.Len() == 0)
		}
		if !shown {
			t.Errorf("%s: shown %q, want %q and how much", name, errs.String(), c.want)
		}
	}
}
