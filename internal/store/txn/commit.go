package txn

import (
	"slices"
	"strings"
	"sync"
)

// Commit is what a transaction of this process has changed, by ids of environments.
type Commit struct {
	// Rows are the rows that were written.
	Rows []string
	// Changed have another row or more events, "" among them for an event of none. Logged have more lines of log.
	Changed, Logged []string
	// All says that others may have changed, too.
	All bool
}

// commits has those who are told of this process's own commits.
type commits struct {
	mu  sync.Mutex
	fns []func(Commit)
}

// OnCommit has fn called after each commit of this process. What other processes change is told by Wakes. fn must be quick and must
// not call the store.
func (d *DB) OnCommit(fn func(Commit)) {
	d.told.mu.Lock()
	defer d.told.mu.Unlock()
	d.told.fns = append(d.told.fns, fn)
}

// tellCommitted tells of a commit. One that failed may have been kept all the same.
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
	// unnamed counts the writes to environments of which nobody has said which rows they wrote.
	unnamed int
}

// wrote notes a statement that may write rows of environments.
func (c *changes) wrote(query string) {
	if strings.HasPrefix(query, "UPDATE environments") || strings.HasPrefix(query, "INSERT INTO environments") || strings.HasPrefix(query, "DELETE FROM environments") {
		c.unnamed++
	}
}

// Unnamed returns how many writes to environments have not said yet which rows they wrote.
func (t *Tx) Unnamed() int { return t.changed.unnamed }

// Name says which rows were written since Unnamed was before.
func (t *Tx) Name(before int, ids ...string) {
	t.changed.unnamed = before
	t.changed.ids = append(t.changed.ids, ids...)
}
