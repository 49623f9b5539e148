package blueprint_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/blueprint/blueprinttest"
)

// loadingBytes is what loading one folder may allocate, all that is freed meanwhile included.
const loadingBytes = 48 << 20

// many gives n files of one text.
func many(n int, text string) map[string]string {
	files := blueprinttest.Builtin()
	for i := range n {
		files[fmt.Sprintf("x%02d.tf", i)] = text
	}
	return files
}

// with is the built-in blueprint with one file more.
func with(name, text string) map[string]string {
	files := blueprinttest.Builtin()
	files[name] = text
	return files
}

// TestLoadingIsBounded: whatever a folder holds, loading it takes little memory, and its answer is short.
func TestLoadingIsBounded(t *testing.T) {
	const file = 256 << 10
	long := func(piece string, size int) string { return strings.Repeat(piece, size/len(piece)) }
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"90 files of 1 MB of brackets":       {many(90, "a = ["+long("[],", 1<<20)+"]\n"), "more than 262144 bytes"},
		"files of brackets up to the limit":  {many(4, "a = ["+long("[],", file-32<<10)+"]\n"), "more than 30000 words and signs"},
		"one file of brackets":               {with("x.tf", "a = ["+long("[],", file-100)+"]\n"), "more than 30000 words and signs"},
		"attributes a quarter of a million":  {with("x.tf", long("x=1\n", 1<<20)), "more than 262144 bytes"},
		"attributes up to the limit":         {with("x.tf", long("x=1\n", 4*7_000)), "\nand 69"},
		"blocks up to the limit":             {with("x.tf", long("a {}\n", 5*7_000)), "\nand 6980 more"},
		"wrong calls up to the limit":        {with("x.tf", "locals {\n x = ["+long("file(1),", 8*5_000)+"]\n}\n"), "\nand 4980 more"},
		"bad characters":                     {with("x.tf", "x = "+long("\\ ", 40_000)), "want Terraform that can be read"},
		"open brackets":                      {with("x.tf", "x = "+long("[", 260_000)), "more than 30000 words and signs"},
		"open brackets up to the limit":      {with("x.tf", "x = "+long("[", 25_000)), "nesting deeper than 30"},
		"open brackets in the lock file":     {with(".terraform.lock.hcl", "x = "+long("[", 260_000)), "more than 30000 words and signs"},
		"open texts":                         {with("x.tf", "x = "+long(`"${`, 25_000)), "nesting deeper than 30"},
		"operators":                          {with("x.tf", "x = "+long("!", 25_000)+"true"), "parts in a row"},
		"an index of an index":               {with("x.tf", "x = a"+long("[0]", 25_000)), "parts in a row"},
		"a long text":                        {with("x.tf", "locals {\n x = \""+long("y", file-2000)+"\"\n}\n"), ""},
		"texts in texts":                     {with("x.tf", "locals {\n x = \""+long("${1}", 25_000)+"\"\n}\n"), "parts in a row"},
		"a manifest of a million empty maps": {with("blueprint.yaml", "x: ["+long("{},", file-100)+"]\n"), "more than 65536 bytes"},
		"a manifest of empty maps":           {with("blueprint.yaml", "x: ["+long("{},", 65_000)+"]\n"), "at most 1000"},
		"a manifest of open brackets":        {with("blueprint.yaml", "x: "+long("[", 65_000)), "blueprint.yaml"},
		"a million names":                    {with("x.tf", "locals {\n"+long("x = \"${local.x}\"\n", 18*2_000)+"}\n"), "attribute redefined"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, store := folder(t, c.files), cache(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := blueprint.Load(dir, store)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > loadingBytes {
				t.Errorf("it took %d MiB, want %d at most", took>>20, loadingBytes>>20)
			} else {
				t.Logf("%d MiB", took>>20)
			}
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %.300v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.300v, want %s", err, c.want)
			}
			if err != nil && len(err.Error()) > 16<<10 {
				t.Errorf("the answer has %d bytes", len(err.Error()))
			}
			if errs, ok := errors.AsType[blueprint.Errors](err); !ok || len(errs) > 20 {
				t.Errorf("%d wrong places are told, want 20 at most, and at least one", len(errs))
			}
		})
	}
}
