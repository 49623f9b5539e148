package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

const (
	hostColumns = "name, endpoint, labels, environments, milli_cpus, memory_mib, drained, down, worker, worker_until, generation, seen_at, address, missed"
	selectHosts = "SELECT " + hostColumns + " FROM hosts "
)

func scanHost(row sqlkit.Scanner) (h fleet.Host, err error) {
	err = row.Scan(&h.Name, &h.Endpoint, sqlkit.JSON(&h.Labels), &h.Capacity.Environments,
		&h.Capacity.MilliCPUs, &h.Capacity.MemoryMiB, sqlkit.Bool(&h.Drained), sqlkit.Text(&h.Down), &h.Worker,
		sqlkit.Time(&h.Until), &h.Generation, sqlkit.Time(&h.SeenAt), sqlkit.Text(&h.Address), sqlkit.Bool(&h.Missed))
	return h, err
}

// DeclareHost writes what a daemon says of a host: endpoint, labels, capacity. The rest of one
// that is there stays; a new one was last seen at h.SeenAt.
func (t *HostTable) DeclareHost(ctx context.Context, h fleet.Host) error {
	if h.Name == "" {
		return fleet.Errorf(fleet.CodeInternal, "declare host: it has no name")
	}
	labels, err := sqlkit.JSON(&h.Labels).Value()
	if err != nil {
		return fleet.Errorf(fleet.CodeInternal, "declare host %s: %w", h.Name, err)
	}
	const write = "INSERT INTO hosts (" + hostColumns + `) VALUES ($1, $2, $3, $4, $5, $6, 0, '', '', 0, 0, $7, '', 0)
		ON CONFLICT (name) DO UPDATE SET endpoint = excluded.endpoint, labels = excluded.labels,
			environments = excluded.environments, milli_cpus = excluded.milli_cpus, memory_mib = excluded.memory_mib`
	return t.db.InTx(ctx, "declare host "+h.Name, func(tx *txn.Tx) error {
		_, err := tx.ExecContext(ctx, write, h.Name, sqlkit.Prose(h.Endpoint), labels, h.Capacity.Environments,
			h.Capacity.MilliCPUs, h.Capacity.MemoryMiB, sqlkit.Micros(h.SeenAt))
		return err
	})
}

// Hold is what a worker wants to hold.
type Hold struct {
	// Worker is "<daemon>.<process>"; people reach its API at Address.
	Worker, Address string
	Names           []string
	// Ended are workers that are known to have ended: whoever waits for their time to be over waits in vain.
	Ended []string
}

// Held is what came of it.
type Held struct {
	// Hosts are held now, Others are declared and held by another worker; both by name.
	Hosts, Others []fleet.Host
	// Freed is how many environments were worked on by somebody whose time is over.
	Freed int
}

// HoldHosts renews a worker's hold on those of the named hosts that it has, and takes those that nobody has, whose holder's
// time is over, or whose holder has ended. Taking one raises its generation. What others were doing on its environments is
// freed when their time is over or they have ended, and a late write of theirs is then fenced; whoever still renews its work
// finishes it. Every host held was seen at now, and is served at the worker's address. Names that were not declared are passed over.
func (t *HostTable) HoldHosts(ctx context.Context, want Hold, now, until time.Time) (got Held, err error) {
	if want.Worker == "" {
		return Held{}, fleet.Errorf(fleet.CodeInternal, "hold hosts: the worker has no name")
	}
	if len(want.Names) == 0 {
		return Held{}, nil
	}
	err = t.db.InTx(ctx, "hold hosts", func(tx *txn.Tx) error {
		got = Held{}
		// Always in the same order, so that two daemons do not wait for each other.
		rows, err := tx.QueryContext(ctx, selectHosts+"WHERE name IN ("+sqlkit.Placeholders(1, len(want.Names))+") ORDER BY name"+t.db.ForUpdate, sqlkit.List(want.Names)...)
		if err != nil {
			return err
		}
		found, err := sqlkit.Collect(rows, scanHost)
		if err != nil {
			return err
		}
		for _, h := range found {
			ended := t.db.HasEnded(h.Worker, want.Worker, want.Ended)
			if h.Worker != "" && h.Worker != want.Worker && !ended && !h.Until.Before(now) {
				got.Others = append(got.Others, h)
				continue
			}
			gone := want.Ended
			if ended {
				gone = append(slices.Clone(gone), h.Worker)
			}
			freed, err := t.hold(ctx, tx, &h, want, gone, now, until)
			if err != nil {
				return err
			}
			got.Hosts, got.Freed = append(got.Hosts, h), got.Freed+freed
		}
		return nil
	})
	if err != nil {
		return Held{}, err
	}
	return got, nil
}

// hold writes a hold, and gives how many environments had to be freed.
func (t *HostTable) hold(ctx context.Context, tx *txn.Tx, h *fleet.Host, want Hold, gone []string, now, until time.Time) (freed int, err error) {
	if h.Worker != want.Worker {
		h.Generation++
		if freed, err = t.freeWork(ctx, tx, h.Name, want.Worker, gone, now); err != nil {
			return 0, err
		}
	}
	h.Worker, h.Until, h.SeenAt, h.Address = want.Worker, sqlkit.FromMicros(sqlkit.Micros(until)), sqlkit.FromMicros(sqlkit.Micros(now)), sqlkit.Prose(want.Address)
	const update = "UPDATE hosts SET worker = $2, worker_until = $3, generation = $4, seen_at = $5, address = $6 WHERE name = $1"
	_, err = tx.ExecContext(ctx, update, h.Name, h.Worker, sqlkit.Micros(until), h.Generation, sqlkit.Micros(now), h.Address)
	return freed, err
}

// freeWork takes the work on a host's environments away from every other worker that is gone or whose time is over. The actions
// stay recorded.
func (t *HostTable) freeWork(ctx context.Context, tx *txn.Tx, host, worker string, gone []string, now time.Time) (int, error) {
	over := "work_until < $3"
	if len(gone) > 0 {
		over += " OR work_worker IN (" + sqlkit.Placeholders(4, len(gone)) + ")"
	}
	args := append([]any{host, worker, sqlkit.Micros(now)}, sqlkit.List(gone)...)
	if !t.db.Shared() { // as ended has it
		args = append(args, fleet.DaemonOf(worker)+".%")
		over += fmt.Sprintf(" OR work_worker LIKE $%d", len(args))
	}
	update := `UPDATE environments
		SET work_worker = '', work_until = 0, work_generation = work_generation + 1, revision = revision + 1, updated_at = $3
		WHERE host = $1 AND state <> 'destroyed' AND work_worker <> '' AND work_worker <> $2 AND (` + over + ")"
	result, err := tx.ExecContext(ctx, update, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// LeaveHosts gives up all this worker's holds, on a clean stop.
func (t *HostTable) LeaveHosts(ctx context.Context, worker string) error {
	return t.db.InTx(ctx, "leave hosts", func(tx *txn.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE hosts SET worker = '', worker_until = 0 WHERE worker = $1", worker)
		return err
	})
}

// Hosts gives all, by name.
func (t *HostTable) Hosts(ctx context.Context) ([]fleet.Host, error) {
	rows, err := t.db.Read.QueryContext(ctx, selectHosts+"ORDER BY name")
	if err != nil {
		return nil, t.db.Fault(ctx, "read hosts", err)
	}
	hosts, err := sqlkit.Collect(rows, scanHost)
	return hosts, t.db.Fault(ctx, "read hosts", err)
}

// SetHostDown notes why a host cannot be used ("" when it can), with the events of that; when it
// is noted already, nothing is written. CodeNotFound.
func (t *HostTable) SetHostDown(ctx context.Context, name, why string, events []fleet.Event) error {
	_, err := t.changeHost(ctx, "note host "+name, name, func(h *fleet.Host) []fleet.Event {
		if h.Down == sqlkit.Prose(why) {
			return nil
		}
		h.Down = sqlkit.Prose(why)
		return events
	})
	return err
}

// NoteHostMissed notes whether the record tells that a host is lost, with the entry of that. When it is noted already, or
// the host is not as it is said to be at now, nothing is written. CodeNotFound.
func (t *HostTable) NoteHostMissed(ctx context.Context, name string, missed bool, now time.Time, ev fleet.Event) error {
	_, err := t.changeHost(ctx, "note host "+name, name, func(h *fleet.Host) []fleet.Event {
		if h.Missed == missed || h.Lost(now) != missed {
			return nil
		}
		h.Missed = missed
		return []fleet.Event{ev}
	})
	return err
}

// DrainHost sets or clears Drained; when it is so already, nothing is written. CodeNotFound.
func (t *HostTable) DrainHost(ctx context.Context, name string, drained bool, ev fleet.Event) (fleet.Host, error) {
	return t.changeHost(ctx, "drain host "+name, name, func(h *fleet.Host) []fleet.Event {
		if h.Drained == drained {
			return nil
		}
		h.Drained = drained
		return []fleet.Event{ev}
	})
}

// changeHost alters whether a host can be used, with the events that change gives.
func (t *HostTable) changeHost(
	ctx context.Context, doing, name string, change func(*fleet.Host) []fleet.Event,
) (fleet.Host, error) {
	var h fleet.Host
	err := t.db.InTx(ctx, doing, func(tx *txn.Tx) (err error) {
		h, err = scanHost(tx.QueryRowContext(ctx, selectHosts+"WHERE name = $1"+t.db.ForUpdate, name))
		if errors.Is(err, sql.ErrNoRows) {
			return fleet.Errorf(fleet.CodeNotFound, "there is no host %q", name).WithHint("see which there are: bothy host ls")
		} else if err != nil {
			return err
		}
		before := h
		events := change(&h)
		if before.Down == h.Down && before.Drained == h.Drained && before.Missed == h.Missed {
			return nil
		}
		const update = "UPDATE hosts SET down = $2, drained = $3, missed = $4 WHERE name = $1"
		if _, err := tx.ExecContext(ctx, update, name, h.Down, sqlkit.Bool(&h.Drained), sqlkit.Bool(&h.Missed)); err != nil {
			return err
		}
		return tx.AppendEvents(ctx, events...)
	})
	if err != nil {
		return fleet.Host{}, err
	}
	return h, nil
}
