package feed

import (
	"context"
	"maps"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

const (
	// keptReads is how many reads may follow one of all rows before all are read again, whatever was told.
	keptReads = 1000
	// mostChanged is how many changed rows are read one by one; of more, all are read.
	mostChanged = 1000
	// keptPage is how many rows one statement reads.
	keptPage = 100
)

// Kept are the live rows as they were read last. A read of them asks for what has changed since, so that it costs nothing at
// rest. On SQLite this process alone writes, and notes which rows; on PostgreSQL the database tells, as long as Wakes listens. Any
// doubt (nobody listens, the connection was made anew, the records were set back or written by another, too much changed, it was many
// reads ago) means that all are read. One goroutine at a time may use it.
type Kept struct {
	feed *Feed
	rows []fleet.Environment
	at   map[string]int
	// worked are those that somebody works on.
	worked map[string]bool
	news   *news
	valid  bool
	// full is the read that was of all rows last.
	full int
	// events is the newest of the record at the last read.
	events int64
	// reads and fulls count the reads, and those of all rows.
	reads, fulls int
}

// Keep gives rows that are kept in memory; the first read reads all.
func (f *Feed) Keep() *Kept {
	return &Kept{feed: f, news: f.changes.subscribe()}
}

// Counts gives how often rows were asked for, and how often all had to be read.
func (k *Kept) Counts() (reads, fulls int) { return k.reads, k.fulls }

// Forget has the next read read all.
func (k *Kept) Forget() { k.valid = false }

// Live gives what Store.Live gives, in any order. The slice and its rows are only to be read, and only until the next call.
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
	// A heartbeat moves the end of a hold and tells nobody.
	maps.Copy(ids, k.worked)
	if err := k.readThese(ctx, slices.Collect(maps.Keys(ids))); err != nil {
		k.valid = false
		return nil, err
	}
	return k.rows, nil
}

// sure reports whether everything that was committed before is among the news.
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
	return events <= max(seen, before), nil // whatever wrote the others was not this process
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

// readThese reads rows and puts each where it belongs. One that is not there, or has ended, is none of the live ones.
func (k *Kept) readThese(ctx context.Context, ids []string) error {
	for page := range slices.Chunk(ids, keptPage) {
		args := sqlkit.List(page)
		for len(args)&(len(args)-1) != 0 {
			args = append(args, args[0]) // to a power of two: there are few texts to prepare
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
	k.rows[last] = fleet.Environment{} // not to be held by the slice
	k.rows = k.rows[:last]
	delete(k.at, id)
	delete(k.worked, id)
}
