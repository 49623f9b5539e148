package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

const orphanColumns = "host, kind, id, name, environment_id, labels, created_at, first_seen, last_seen, sightings"

func orphanFields(o *fleet.Orphan) []any {
	return []any{
		&o.Host, &o.Kind, &o.ID, sqlkit.Text(&o.Name), sqlkit.Text(&o.EnvironmentID), sqlkit.JSON(&o.Labels),
		sqlkit.Time(&o.CreatedAt), sqlkit.Time(&o.FirstSeen), sqlkit.Time(&o.LastSeen), sqlkit.Int(&o.Sightings),
	}
}

func scanOrphan(row sqlkit.Scanner) (o fleet.Orphan, err error) {
	err = row.Scan(orphanFields(&o)...)
	return o, err
}

// SeeOrphans records what one complete sweep of a host found: it adds new orphans, updates known ones (Sightings, LastSeen), and forgets
// those of the host that were not found. It returns all orphans of the host by kind and id.
func (t *OrphanTable) SeeOrphans(ctx context.Context, host string, found []fleet.Orphan, now time.Time) ([]fleet.Orphan, error) {
	var all []fleet.Orphan
	err := t.db.InTx(ctx, "note orphans of "+host, func(tx *txn.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT "+orphanColumns+" FROM orphans WHERE host = $1"+t.db.ForUpdate, host)
		if err != nil {
			return err
		}
		known, err := sqlkit.Collect(rows, scanOrphan)
		if err != nil || len(known)+len(found) == 0 {
			return err
		}
		all = seen(host, known, found, now)
		if _, err := tx.ExecContext(ctx, "DELETE FROM orphans WHERE host = $1", host); err != nil {
			return err
		}
		args := make([][]any, len(all))
		for i := range all {
			args[i] = orphanFields(&all[i])
		}
		return tx.InsertAll(ctx, "INSERT INTO orphans ("+orphanColumns+")", args)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// seen merges a host's known orphans with those of one more sweep.
func seen(host string, known, found []fleet.Orphan, now time.Time) []fleet.Orphan {
	now = sqlkit.FromMicros(sqlkit.Micros(now)) // as stored
	before := map[[2]string]fleet.Orphan{}
	for _, o := range known {
		before[[2]string{o.Kind, o.ID}] = o
	}
	after := map[[2]string]fleet.Orphan{}
	for _, o := range found {
		key := [2]string{o.Kind, o.ID}
		o.CreatedAt = sqlkit.FromMicros(sqlkit.Micros(o.CreatedAt))
		o.Host, o.FirstSeen, o.LastSeen, o.Sightings = host, now, now, 1
		if old, ok := before[key]; ok {
			o.FirstSeen, o.Sightings = old.FirstSeen, old.Sightings+1
		}
		after[key] = o
	}
	return slices.SortedFunc(maps.Values(after), func(a, b fleet.Orphan) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
}

// Orphans returns all orphans by host, kind and name.
func (t *OrphanTable) Orphans(ctx context.Context) ([]fleet.Orphan, error) {
	rows, err := t.db.Read.QueryContext(ctx, "SELECT "+orphanColumns+" FROM orphans ORDER BY host, kind, name, id")
	if err != nil {
		return nil, t.db.Fault(ctx, "read orphans", err)
	}
	orphans, err := sqlkit.Collect(rows, scanOrphan)
	return orphans, t.db.Fault(ctx, "read orphans", err)
}
