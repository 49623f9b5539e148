package feed

import (
	"context"
	"maps"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

const (
	// keptReads is how many reads may follow a full read before the next full read, whatever was reported.
	keptReads = 1000
	// mostChanged is how many changed rows are read one by one; beyond that, all are read.
	mostChanged = 1000
	// keptPage is how many rows one statement reads.
	keptPage = 100
)

// Kept are the live rows as of the last read. A read fetches only what has changed since, so that it costs nothing when idle. On SQLite
// only this process writes, and notes which rows; on PostgreSQL the database reports changes as long as Wakes listens. Any doubt means a
// full read: nobody listens, the connection was reopened, the database was restored or written by another process, too much changed, or
// the last full read is many reads ago. Only one goroutine at a time may use it.
type Kept struct {
	feed *Feed
	rows []fleet.Environment
	at   map[string]int
	// worked are the rows that a worker has.
	worked map[string]bool
	news   *news
	valid  bool
	// full is the number of the last full read.
	full int
	// events is the newest event at the last read.
	events int64
	// reads counts all reads, fulls the full ones.
	reads, fulls int
}

// Keep returns rows that are kept in memory; the first read is a full one.
func (f *Feed) Keep() *Kept {
	return &Kept{feed: f, news: f.changes.subscribe()}
}

// Counts returns how often rows were read, and how often all of them.
func (k *Kept) Counts() (reads, fulls int) { return k.reads, k.fulls }

// Forget makes the next read a full one.
func (k *Kept) Forget() { k.valid = false }

// Live returns what Store.Live returns, in any order. The slice and its rows are read-only and valid until the next call.
func (k *Kept) Live(ctx context.Context) ([]fleet.Environment, error) {
	k.reads++
	sure, err := k.sure(ctx)
	if err != nil {
		return nil, err
	}
	ids, all := k.news.take()
	if !sure || all || !k.valid || len(ids) > mostChanged || k.reads-k.full > keptReads {
		return k.readAll(ctx)
	}
	// A heartbeat extends a hold and is not reported.
	maps.Copy(ids, k.worked)
	if err := k.readThese(ctx, slices.Collect(maps.Keys(ids))); err != nil {
		k.valid = false
		return nil, err
	}
	return k.rows, nil
}

// sure reports whether the news include everything committed before.
func (k *Kept) sure(ctx context.Context) (bool, error) {
	events, _, err := k.feed.db.Marks(ctx)
	if err != nil {
		k.valid = false
		return false, err
	}
	before := k.events
	k.events = events
	if events < before {
		return false, nil // the database is another one, or an older one
	}
	if k.feed.db.Shared() {
		return k.feed.changes.barrier(ctx, k.feed.notify), nil
	}
	seen, _ := k.feed.db.Seen()
	return events <= max(seen, before), nil // another process wrote the other events
}

func (k *Kept) readAll(ctx context.Context) ([]fleet.Environment, error) {
	k.fulls++
	k.valid = false
	rows, err := k.feed.db.Environments(ctx, "read live environments", "WHERE state <> 'destroyed' ORDER BY id")
	if err != nil {
		return nil, err
	}
	k.rows, k.at, k.worked, k.valid, k.full = rows, make(map[string]int, len(rows)), map[string]bool{}, true, k.reads
	for i := range rows {
		k.at[rows[i].ID] = i
		k.work(&rows[i])
	}
	return k.rows, nil
}

// readThese reads rows and updates them. A row that is missing or destroyed is dropped.
func (k *Kept) readThese(ctx context.Context, ids []string) error {
	for page := range slices.Chunk(ids, keptPage) {
		args := sqlkit.List(page)
		for len(args)&(len(args)-1) != 0 {
			args = append(args, args[0]) // to a power of two, so that there are few statements to prepare
		}
		found, err := k.feed.db.Environments(ctx, "read changed environments", "WHERE state <> 'destroyed' AND id IN ("+sqlkit.Placeholders(1, len(args))+")", args...)
		if err != nil {
			return err
		}
		live := make(map[string]bool, len(found))
		for _, env := range found {
			live[env.ID] = true
			k.put(env)
		}
		for _, id := range page {
			if !live[id] {
				k.drop(id)
			}
		}
	}
	return nil
}

func (k *Kept) work(env *fleet.Environment) {
	if env.Work.Worker != "" {
		k.worked[env.ID] = true
	} else {
		delete(k.worked, env.ID)
	}
}

func (k *Kept) put(env fleet.Environment) {
	k.work(&env)
	if i, ok := k.at[env.ID]; ok {
		k.rows[i] = env
		return
	}
	k.at[env.ID] = len(k.rows)
	k.rows = append(k.rows, env)
}

func (k *Kept) drop(id string) {
	i, ok := k.at[id]
	if !ok {
		return
	}
	last := len(k.rows) - 1
	k.rows[i] = k.rows[last]
	k.at[k.rows[i].ID] = i
	k.rows[last] = fleet.Environment{} // so that the slice does not keep it alive
	k.rows = k.rows[:last]
	delete(k.at, id)
	delete(k.worked, id)
}
