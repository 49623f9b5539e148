package txn

import (
	"slices"
	"strings"
	"sync"
)

// Commit is what a transaction of this process has changed, by ids of environments.
type Commit struct {
	// Rows are the written rows.
	Rows []string
	// Changed have a changed row or new events, "" for an event of no environment. Logged have new log lines.
	Changed, Logged []string
	// All: any other environment may have changed, too.
	All bool
}

// commits has the functions to call after commits.
type commits struct {
	mu  sync.Mutex
	fns []func(Commit)
}

// OnCommit calls fn after each commit of this process. For the commits of other processes see feed.Feed.Wakes. fn must be quick and must
// not call the store.
func (d *DB) OnCommit(fn func(Commit)) {
	d.told.mu.Lock()
	defer d.told.mu.Unlock()
	d.told.fns = append(d.told.fns, fn)
}

// tellCommitted reports a commit. A failed one may have been applied all the same.
func (d *DB) tellCommitted(tx *Tx, err error) {
	d.told.mu.Lock()
	fns := d.told.fns
	d.told.mu.Unlock()
	c := Commit{
		Rows: tx.changed.ids, Changed: slices.Concat(tx.changed.ids, tx.told), Logged: tx.logged, All: err != nil || tx.changed.unnamed > 0,
	}
	if len(fns) == 0 || !c.All && len(c.Changed)+len(c.Logged) == 0 {
		return
	}
	slices.Sort(c.Changed)
	c.Changed = slices.Compact(c.Changed)
	for _, fn := range fns {
		fn(c)
	}
}

// changes are the rows that a transaction has written.
type changes struct {
	ids []string
	// unnamed counts the writes to environments whose rows have not been named.
	unnamed int
}

// wrote counts a statement that may write rows of environments.
func (c *changes) wrote(query string) {
	if strings.HasPrefix(query, "UPDATE environments") || strings.HasPrefix(query, "INSERT INTO environments") || strings.HasPrefix(query, "DELETE FROM environments") {
		c.unnamed++
	}
}

// Unnamed returns how many writes to environments have no named rows yet.
func (t *Tx) Unnamed() int { return t.changed.unnamed }

// Name names the rows written since Unnamed returned before.
func (t *Tx) Name(before int, ids ...string) {
	t.changed.unnamed = before
	t.changed.ids = append(t.changed.ids, ids...)
}
