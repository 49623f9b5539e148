package blueprint_test

import (
	"errors"
	"testing"

	"github.com/bothy-env/bothy/internal/blueprint"
)

// Any files get an answer: a blueprint that is whole, or errors with places.
func FuzzLoad(f *testing.F) {
	f.Add(goodManifest, goodTerraform)
	for _, c := range refusedTerraform {
		f.Add(goodManifest, goodTerraform+c.add)
	}
	f.Add("schema: 1\nsizes: {a: {cpus: .nan}}\n", "a \"b\" {\n  c = <<EOT\n${{}}\nEOT\n}\n")
	store := f.TempDir()
	f.Fuzz(func(t *testing.T, manifest, terraform string) {
		bp, err := blueprint.Load(folder(t, map[string]string{"blueprint.yaml": manifest, "main.tf": terraform}), store)
		if err != nil {
			if errs, ok := errors.AsType[blueprint.Errors](err); ok {
				for _, e := range errs {
					if e.Line < 1 || e.Col < 1 || e.Found == "" || e.Want == "" {
						t.Fatalf("an error without place or sentence: %+v", e)
					}
				}
			}
			return
		}
		if _, ok := bp.SizeNamed(""); !ok || bp.DefaultTTL <= 0 || bp.DefaultTTL > bp.MaxTTL || len(bp.Users) == 0 {
			t.Fatalf("half a blueprint was accepted: %+v", bp)
		}
	})
}
