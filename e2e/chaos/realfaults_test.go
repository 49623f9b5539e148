package chaos_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestRealRandomFaults is TestRandomFaults with Docker and Terraform: the way between each daemon and the engine is cut as well.
func TestRealRandomFaults(t *testing.T) {
	if !*long {
		t.Skip("takes minutes: part of make chaos")
	}
	chance := seeded(t)
	server := pgtest.Own(t, pgtest.Options{})
	h, err := newHouse(t, setup{dsn: server.Database(t), real: true, daemons: 2})
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{h: h, kinds: databaseFaults(t, server)}
	ways := h.throughCuttables(t, server)
	for i, d := range h.daemons {
		engine := newCuttable(t, "/var/run/docker.sock")
		d.args = append(d.args, "--engine-host=unix://"+engine.listen(t, "unix", filepath.Join(h.dir, d.name+"-engine")))
		d.persists = true
		f.kinds = append(f.kinds, h.daemonFaults(d)...)
		f.kinds = append(f.kinds, wayFaults(d.name+" to its database", ways[i])...)
		f.kinds = append(f.kinds, wayFaults(d.name+" to the engine", engine)...)
		ways = append(ways, engine)
	}
	h.openAndClose(t, func() {
		for _, w := range ways {
			w.heal()
		}
	})
	record := h.recordEngine(t)
	f.run(t, chance, 30, 2)
	lives := record()
	f.wantLeaseEnds(t, lives)
	f.wantBills(t, lives)
}

// recordEngine keeps the engine's own events of this installation's containers. What it gives tells each sandbox's life.
func (h *house) recordEngine(t *testing.T) (lives func() []fake.Life) {
	t.Helper()
	file, err := os.Create(filepath.Join(h.dir, "engine-events"))
	if err != nil {
		t.Fatal(err)
	}
	events := exec.CommandContext(t.Context(), "docker", "events", "--format", "{{json .}}", "--filter", "type=container",
		"--filter", "event=create", "--filter", "event=destroy", "--filter", "label="+provisioner.LabelInstance+"="+h.instance,
		"--since", strconv.FormatInt(time.Now().Add(-time.Second).Unix(), 10))
	events.Stdout, events.Stderr = file, file
	events.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = events.Process.Kill() // it ends with the test
		_ = events.Wait()
		_ = file.Close()
	})
	return func() (all []fake.Life) {
		t.Helper()
		err := until(t.Context(), "the engine has told of every end", func() (bool, string, error) {
			text, err := os.ReadFile(file.Name())
			if err != nil {
				return false, "", err
			}
			if all, err = readLives(text); err != nil {
				return false, "", err
			}
			exist, err := h.exists(t.Context())
			containers, open := 0, 0
			for _, f := range exist {
				if f.Kind == "container" && f.Labels[provisioner.LabelEnvironment] != "" {
					containers++
				}
			}
			for _, l := range all {
				if l.Until.IsZero() {
					open++
				}
			}
			return err == nil && open == containers, strconv.Itoa(open) + " of " + strconv.Itoa(containers), err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// readLives reads the engine's events of sandboxes, a line each.
func readLives(text []byte) (all []fake.Life, err error) {
	at := map[string]int{}
	for line := range bytes.Lines(text) {
		var event struct {
			Action   string
			TimeNano int64 `json:"timeNano"`
			Actor    struct {
				ID         string
				Attributes map[string]string
			}
		}
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // more of it is coming
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, err
		}
		when, environment := time.Unix(0, event.TimeNano), event.Actor.Attributes[provisioner.LabelEnvironment]
		n, known := at[event.Actor.ID]
		switch {
		case environment == "":
		case event.Action == "create":
			at[event.Actor.ID] = len(all)
			all = append(all, fake.Life{ID: event.Actor.ID, Environment: environment, From: when})
		case known:
			all[n].Until = when
		}
	}
	return all, nil
}
