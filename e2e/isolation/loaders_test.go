//go:build linux

package isolation_test

import (
	"slices"

	"github.com/bothy-env/bothy/internal/blueprint/blueprinttest"
)

// loaders gives the hostile blueprints that the loader is tested with; why is not empty when there are none.
func loaders() (all []hostile, why string) {
	for _, h := range blueprinttest.Corpus() {
		all = append(all, hostile{
			name: "loader-" + h.Name, kind: h.Kind, files: h.Files, attribute: h.Attribute, early: true,
			local: slices.Contains([]string{"providers", "lifecycle", "files"}, h.Kind),
			heavy: slices.Contains([]string{"functions", "bombs"}, h.Kind),
		})
	}
	return all, ""
}
