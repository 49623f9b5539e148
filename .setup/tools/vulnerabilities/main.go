// Command vulnerabilities looks for known vulnerabilities that bothy's code reaches: govulncheck with a database on disk, asked of
// nobody. It fails for those of modules. Those of Go's own library it fails for as well, unless the Go in use is older than the
// toolchain that go.mod asks for and may not be changed (GOTOOLCHAIN=local): then they are told. Those of accepted.txt are passed over.
//
//	vulnerabilities DATABASE TOOLCHAIN PACKAGE...
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/vuln/scan"
)

//go:embed accepted.txt
var accepted string

// accepts reports whether a vulnerability has a line in accepted.txt.
func accepts(id string) bool {
	for line := range strings.Lines(accepted) {
		if strings.HasPrefix(line, id+" ") {
			return true
		}
	}
	return false
}

// message is what is used of govulncheck's JSON (golang.org/x/vuln/internal/govulncheck, protocol v1.0.0).
type message struct {
	Finding *struct {
		OSV   string `json:"osv"`
		Fixed string `json:"fixed_version"`
		Trace []struct {
			Module   string `json:"module"`
			Function string `json:"function"`
		} `json:"trace"`
	} `json:"finding"`
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: vulnerabilities DATABASE TOOLCHAIN PACKAGE...")
		os.Exit(2)
	}
	reached, err := look(os.Args[1], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulnerabilities:", err)
		os.Exit(1)
	}
	old := version.Compare(runtime.Version(), os.Args[2]) < 0
	failed, olds := false, []string{}
	for _, id := range slices.Sorted(maps.Keys(reached)) {
		f := reached[id]
		if accepts(id) {
			continue
		}
		if old && f.module == "stdlib" {
			olds = append(olds, id)
			continue
		}
		failed = true
		fmt.Printf("%s in %s is reached through %s (fixed in: %s): https://pkg.go.dev/vuln/%s\n", id, f.module, f.function, cmp.Or(f.fixed, "no version"), id)
	}
	if len(olds) > 0 {
		fmt.Printf("note: %d vulnerabilities of Go's own library are reached (%s): this is %s, go.mod asks for %s\n",
			len(olds), strings.Join(olds, ", "), runtime.Version(), os.Args[2])
	}
	if failed {
		os.Exit(1)
	}
}

type found struct{ module, function, fixed string }

// look gives the vulnerabilities whose functions are called, by id.
func look(database string, packages []string) (map[string]found, error) {
	var out, errs bytes.Buffer
	cmd := scan.Command(context.Background(), append([]string{"-db", "file://" + database, "-format", "json"}, packages...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(errs.Bytes()))
	}
	reached := map[string]found{}
	for read := json.NewDecoder(&out); ; {
		var m message
		if err := read.Decode(&m); errors.Is(err, io.EOF) {
			return reached, nil
		} else if err != nil {
			return nil, fmt.Errorf("read govulncheck's answer: %w", err)
		}
		if m.Finding == nil || len(m.Finding.Trace) == 0 || m.Finding.Trace[0].Function == "" {
			continue // it is there and nobody calls it
		}
		at := m.Finding.Trace[0]
		reached[m.Finding.OSV] = found{at.Module, at.Function, m.Finding.Fixed}
	}
}
