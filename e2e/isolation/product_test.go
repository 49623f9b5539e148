//go:build linux

package isolation_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// productWall takes blueprints as anybody does: a folder that bothyd loads, and bothy up.
type productWall struct {
	t *testing.T
	d *daemon
	// folders are each blueprint's, by name.
	folders map[string]string
}

// perFolder is how many blueprints lie in one folder: a daemon takes no more than some from each.
const perFolder = 100

// newProductWall starts a daemon that is offered all of the blueprints at once.
func newProductWall(t *testing.T, trials []*trial) *productWall {
	t.Helper()
	w := &productWall{t: t, folders: map[string]string{}}
	var all []string
	for i, c := range trials {
		if i%perFolder == 0 {
			all = append(all, t.TempDir())
		}
		w.folders[c.name] = filepath.Join(all[len(all)-1], c.name)
		if err := writeFiles(w.folders[c.name], c.files); err != nil {
			t.Fatal(err)
		}
	}
	w.d = start(t, "--blueprints", strings.Join(all, ","))
	w.d.answers()
	return w
}

// loaded is what the daemon's log says of a blueprint's folder.
func (w *productWall) loaded(name string) string {
	var said []string
	for line := range strings.Lines(w.d.log.String()) {
		for _, end := range []string{"/", ":", " ", `"`} {
			if strings.Contains(line, w.folders[name]+end) {
				said = append(said, line)
				break
			}
		}
	}
	return strings.Join(said, "")
}

func (w *productWall) take(c *trial) (got taken) {
	r := w.d.bothy("", "up", "--source", "none", "--blueprint", c.name, "--name", c.name)
	got.made, got.said = r.code == 0, r.out+r.err
	if r.code == 3 && strings.Contains(r.err, "blueprint") { // it is not offered: the log says why
		got.said = w.loaded(c.name)
		return got
	}
	env, err := w.d.client.Get(w.t.Context(), c.name)
	if err != nil {
		got.reached = append(got.reached, fmt.Sprintf("the daemon does not know it: %v: %s", err, r))
		return got
	}
	name := "bothy-" + w.d.instance + "-" + env.ID
	got.reached = c.look(name, "bothy.environment="+env.ID, anySlot+w.d.instance, got.said, got.made)
	if got.made && c.container != "" && w.d.bothy("", "exec", c.name, "-u", "root", "--", "test", "-e", inside).code == 0 {
		got.reached = append(got.reached, "commands run in another tenant's container")
	}
	if down := w.d.bothy("", "down", c.name); down.code != 0 {
		got.reached = append(got.reached, "it cannot be taken away: "+down.String())
	}
	if err := c.gone(name); err != nil {
		got.reached = append(got.reached, err.Error())
	}
	if err := c.robbed(); err != nil {
		got.reached = append(got.reached, err.Error())
	}
	return got
}
