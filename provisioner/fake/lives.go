package fake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Life is how long one container existed, as an engine's own events tell it: evidence to hold a ledger against.
type Life struct {
	ID, Environment string
	From            time.Time
	// Until is zero while it exists.
	Until time.Time
}

// noteLife writes down a container's beginning or end. It is written before what it tells of is done: a process that
// is killed in between does it again, or nothing came of it. Within tx.
func (w *World) noteLife(l Life) error {
	if w.opts.Dir == "" {
		w.lives = append(w.lives, l)
		return nil
	}
	line, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode an event of the fake provider: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(w.opts.Dir, "lives"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("note an event of the fake provider: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// remove takes a resource away, and notes the end of a container. Within tx.
func (w *World) remove(id string) error {
	if r, ok := w.resources.rows[id]; ok && r.Sandbox != nil {
		l := Life{ID: id, Environment: r.Labels[provisioner.LabelEnvironment], From: r.CreatedAt, Until: w.now().UTC()}
		if err := w.noteLife(l); err != nil {
			return err
		}
	}
	return w.resources.drop(id)
}

// Lives lists every container that ever existed, in the order of their beginnings. One whose beginning was noted by a process that
// was killed before it made anything never did.
func (w *World) Lives() ([]Life, error) {
	var all []Life
	err := w.tx(func() error {
		notes, err := w.notedLives()
		if err != nil {
			return err
		}
		at := map[string]int{}
		for _, l := range notes {
			_, exists := w.resources.rows[l.ID]
			n, known := at[l.ID]
			switch {
			case known && !exists:
				all[n].Until = l.Until
			case !known:
				at[l.ID] = len(all)
				all = append(all, Life{ID: l.ID, Environment: l.Environment, From: l.From})
			}
		}
		all = slices.DeleteFunc(all, func(l Life) bool {
			_, exists := w.resources.rows[l.ID]
			return l.Until.IsZero() && !exists
		})
		return nil
	})
	return all, err
}

func (w *World) notedLives() ([]Life, error) {
	if w.opts.Dir == "" {
		return w.lives, nil
	}
	text, err := os.ReadFile(filepath.Join(w.opts.Dir, "lives"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Life
	for line := range bytes.Lines(text) {
		var l Life
		if json.Unmarshal(line, &l) == nil { // else cut off by a kill
			all = append(all, l)
		}
	}
	return all, err
}
