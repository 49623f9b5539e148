package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// replacedWithin bounds how long nobody plans after the leader fell silent: the work lease of 3 s, 5 s after which the server ends a
// transaction in which it was frozen, and as many again and more for a busy machine.
const replacedWithin = time.Minute

// givesUpWithin bounds every answer of a daemon that is cut off from its database.
const givesUpWithin = 2 * time.Minute

// TestPromiseASilentLeaderIsReplaced: the daemon that plans is frozen, or its connections to the database pass nothing on and are not
// closed. Another one plans: leases end and requests are made. The former one writes nothing when it is back.
func TestPromiseASilentLeaderIsReplaced(t *testing.T) {
	for _, how := range []string{"frozen", "cut off"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Shared(t)
			dsn := server.Database(t)
			h, err := newHouse(t, setup{dsn: dsn, daemons: 2})
			if err != nil {
				t.Fatal(err)
			}
			cuts := h.throughCuttables(t, server)
			h.openAndClose(t, func() {
				for _, c := range cuts {
					c.heal()
				}
			})
			first := h.leader(t)
			other := h.daemons[1-first].client
			env := h.leased(t, other, "mine", 4)

			if how == "frozen" {
				h.freeze(t, h.daemons[first])
			} else {
				cuts[first].cut()
			}
			silent := time.Now()
			before := h.leads(t)
			err = until(t.Context(), "the lease ends although its leader is silent", func() (bool, string, error) {
				row, err := h.store.Get(t.Context(), env.ID)
				return err == nil && (row.State == fleet.Destroying || row.State == fleet.Destroyed), string(row.State) + ": " + row.Reason, err
			})
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(silent) - max(0, env.Lease.End.Sub(silent))
			after := h.leads(t)
			if after.Generation <= before.Generation || took > replacedWithin {
				t.Errorf("its lease ended %s late, %+v leads after %+v", took, after, before)
			}
			h.leased(t, other, "new", 3600)
			err = until(t.Context(), "doctor of the other knows who leads", func() (bool, string, error) {
				health, err := other.Doctor(t.Context())
				return err == nil && status(health, "leader") == "ok", fmt.Sprint(health), err
			})
			if err != nil {
				t.Error(err)
			}
			if how == "frozen" {
				if err := h.daemons[first].signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			} else {
				h.wantAnswersAt(t, h.daemons[first])
				cuts[first].heal()
			}
			err = until(t.Context(), "the one that was silent answers", func() (bool, string, error) {
				health, err := h.daemons[first].client.Doctor(t.Context())
				return err == nil && status(health, "store") == "ok", fmt.Sprint(health, err), nil
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s: another planned %s after the lease's end or the leader's silence", how, took.Round(100*time.Millisecond))
			h.wantHistories(t)
		})
	}
}

// throughCuttables puts something between each daemon and its database that can be cut.
func (h *house) throughCuttables(t *testing.T, server *pgtest.Server) (cuts []*cuttable) {
	t.Helper()
	address, err := url.Parse(h.dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range h.daemons {
		c := newCuttable(t, server.Socket())
		through, err := server.DSNAt(c.listen(t, "tcp", "127.0.0.1:0"), strings.TrimPrefix(address.Path, "/"))
		if err != nil {
			t.Fatal(err)
		}
		d.args = append(d.args, "--database="+through)
		cuts = append(cuts, c)
	}
	return cuts
}

// openAndClose runs the daemons until the test ends; first is done then before anything.
func (h *house) openAndClose(t *testing.T, first func()) {
	t.Helper()
	t.Cleanup(func() {
		first()
		for _, d := range h.daemons {
			_ = d.signal(syscall.SIGCONT) // it may be frozen still
		}
		if t.Failed() {
			t.Log(h.logs())
		}
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	if err := h.open(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
}

// leads gives what the database says of who leads.
func (h *house) leads(t *testing.T) fleet.Leader {
	t.Helper()
	l, _, err := h.store.Leader(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// leader waits until a daemon leads, and gives which.
func (h *house) leader(t *testing.T) int {
	t.Helper()
	leader := -1
	err := until(t.Context(), "a daemon leads", func() (bool, string, error) {
		l := h.leads(t)
		for i, d := range h.daemons {
			if id := d.id(); id != "" && id == fleet.DaemonOf(l.Worker) {
				leader = i
			}
		}
		return leader >= 0, fmt.Sprintf("%+v", l), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

// leased asks for an environment and waits until it is leased.
func (h *house) leased(t *testing.T, c *client.Client, name string, ttl int64) fleet.Environment {
	t.Helper()
	var row fleet.Environment
	var made wire.Environment
	err := retry(t.Context(), "request "+name, func() (err error) {
		made, _, err = c.Create(t.Context(), wire.CreateRequest{Name: name, NoPool: true, TTLSeconds: &ttl}, "leader-"+name+"-0123456789")
		return err
	})
	if err == nil {
		err = until(t.Context(), name+" is leased", func() (bool, string, error) {
			row, err = h.store.Get(t.Context(), made.ID)
			return err == nil && row.State == fleet.Leased, string(row.State) + ": " + row.Reason, err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// status is a check's.
func status(health wire.Health, check string) string {
	for _, c := range health.Checks {
		if c.Name == check {
			return c.Status
		}
	}
	return ""
}

// wantAnswersAt checks that a daemon that is cut off from its database answers all the same, and that it cannot.
func (h *house) wantAnswersAt(t *testing.T, d *daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*givesUpWithin)
	defer cancel()
	began := time.Now()
	health, err := d.client.Health(ctx)
	ready := time.Since(began)
	if err != nil || ready > givesUpWithin {
		t.Errorf("readyz: %+v, %v after %s", health, err, ready)
	}
	err = until(ctx, "it finds that it is not ready", func() (bool, string, error) {
		health, err := d.client.Health(ctx)
		return err == nil && !health.Ready, fmt.Sprint(health), err
	})
	if err != nil {
		t.Error(err)
	}
	began = time.Now()
	_, _, err = d.client.Create(ctx, wire.CreateRequest{Name: "cut"}, "leader-cut-0123456789")
	if client.CodeOf(err) != wire.CodeUnavailable || errors.Is(err, context.DeadlineExceeded) || time.Since(began) > givesUpWithin {
		t.Errorf("up gave %v after %s, want unavailable", err, time.Since(began))
	}
	t.Logf("cut off: readyz answered after %s, up after %s", ready.Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond))
}

// TestCopiedStateDirectories: two daemons run under one id, as a state directory and its copy do. They do not take the host from each
// other, what takes longer than a hold is made at the first try, and it is seen: one of them has another id.
func TestCopiedStateDirectories(t *testing.T) {
	t.Parallel()
	h, err := newHouse(t, setup{database: postgres, daemons: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range h.daemons {
		if err := os.WriteFile(filepath.Join(d.dir, "state", "daemon"), []byte("cloned"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.openAndClose(t, func() {})
	longest := fake.Fault{Op: fake.OpCreate, Delay: 5 * time.Second, Times: 2} // the hold is 3 s
	if _, err := h.world.Inject(longest); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if env := h.leased(t, h.daemons[0].client, name, 3600); env.Work.Generation != 1 {
			t.Errorf("%s was made at generation %d", name, env.Work.Generation)
		}
	}
	hosts, err := h.store.Hosts(t.Context())
	if err != nil || len(hosts) != 1 || hosts[0].Generation > 2 {
		t.Errorf("the host changed hands: %+v, %v", hosts, err)
	}
	err = until(t.Context(), "one of them has another id", func() (bool, string, error) {
		return h.daemons[0].id() != h.daemons[1].id(), "both are " + h.daemons[0].id(), nil
	})
	if err != nil {
		t.Error(err)
	}
	err = until(t.Context(), "a doctor tells of it", func() (told bool, _ string, _ error) {
		for _, d := range h.daemons {
			health, err := d.client.Doctor(t.Context())
			told = told || err == nil && status(health, "identity") == "warning"
		}
		return told, "none does", nil
	})
	if err != nil {
		t.Error(err)
	}
	h.wantHistories(t)
}
