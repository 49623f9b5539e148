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

// DeclareHost writes a host's endpoint, labels and capacity as declared by a daemon. Other fields of an existing host stay; a new one was
// last seen at h.SeenAt.
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

// Hold is a worker's request to hold hosts.
type Hold struct {
	// Worker is "<daemon>.<process>"; its API is reached at Address.
	Worker, Address string
	Names           []string
	// Ended are workers known to have ended, whose holds need not expire first.
	Ended []string
}

// Held is the result of HoldHosts.
type Held struct {
	// Hosts are held now; Others are declared and held by another worker. Both are sorted by name.
	Hosts, Others []fleet.Host
	// Freed is the number of environments whose work was freed from a worker that had ended or whose time had expired.
	Freed int
}

// HoldHosts renews a worker's hold on those of the named hosts that it holds, and takes those that nobody holds, whose hold has expired,
// or whose holder has ended. Taking a host raises its generation. It also frees the work on the host's environments of workers that have
// ended or whose time has expired, which fences their late writes; a worker that still renews its work finishes it. Every host held was
// seen at now and is served at the worker's address. Undeclared names are skipped.
func (t *HostTable) HoldHosts(ctx context.Context, want Hold, now, until time.Time) (got Held, err error) {
	if want.Worker == "" {
		return Held{}, fleet.Errorf(fleet.CodeInternal, "hold hosts: the worker has no name")
	}
	if len(want.Names) == 0 {
		return Held{}, nil
	}
	err = t.db.InTx(ctx, "hold hosts", func(tx *txn.Tx) error {
		got = Held{}
		// In a fixed order, so that two daemons cannot deadlock.
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

// hold writes a hold and returns how many environments had to be freed.
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

// freeWork frees the work on a host's environments from every other worker that has ended or whose time has expired. The actions stay
// recorded.
func (t *HostTable) freeWork(ctx context.Context, tx *txn.Tx, host, worker string, gone []string, now time.Time) (int, error) {
	over := "work_until < $3"
	if len(gone) > 0 {
		over += " OR work_worker IN (" + sqlkit.Placeholders(4, len(gone)) + ")"
	}
	args := append([]any{host, worker, sqlkit.Micros(now)}, sqlkit.List(gone)...)
	if !t.db.Shared() { // see txn.DB.HasEnded
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

// LeaveHosts releases all holds of a worker, on a clean stop.
func (t *HostTable) LeaveHosts(ctx context.Context, worker string) error {
	return t.db.InTx(ctx, "leave hosts", func(tx *txn.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE hosts SET worker = '', worker_until = 0 WHERE worker = $1", worker)
		return err
	})
}

// Hosts returns all hosts by name.
func (t *HostTable) Hosts(ctx context.Context) ([]fleet.Host, error) {
	rows, err := t.db.Read.QueryContext(ctx, selectHosts+"ORDER BY name")
	if err != nil {
		return nil, t.db.Fault(ctx, "read hosts", err)
	}
	hosts, err := sqlkit.Collect(rows, scanHost)
	return hosts, t.db.Fault(ctx, "read hosts", err)
}

// SetHostDown sets the reason why a host cannot be used ("" when it can) and records events. If the reason is unchanged, nothing is
// written. CodeNotFound.
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

// NoteHostMissed sets whether the events report a host as lost, and records ev. If that is unchanged, or contradicts the host's state at
// now, nothing is written. CodeNotFound.
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

// DrainHost sets or clears Drained and records ev. If it is unchanged, nothing is written. CodeNotFound.
func (t *HostTable) DrainHost(ctx context.Context, name string, drained bool, ev fleet.Event) (fleet.Host, error) {
	return t.changeHost(ctx, "drain host "+name, name, func(h *fleet.Host) []fleet.Event {
		if h.Drained == drained {
			return nil
		}
		h.Drained = drained
		return []fleet.Event{ev}
	})
}

// changeHost changes whether a host can be used, and records the events that change returns.
func (t *HostTable) changeHost(
	ctx context.Context, doing, name string, change func(*fleet.Host) []fleet.Event,
) (fleet.Host, error) {
	var h fleet.Host
	err := t.db.InTx(ctx, doing, func(tx *txn.Tx) (err error) {
		h, err = scanHost(tx.QueryRowContext(ctx, selectHosts+"WHERE name = $1"+t.db.ForUpdate, name))
		if errors.Is(err, sql.ErrNoRows) {
			return fleet.Errorf(fleet.CodeNotFound, "there is no host %q", name).WithHint("list hosts: bothy host ls")
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
