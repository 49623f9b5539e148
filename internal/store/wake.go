package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A daemon that cannot listen tries again after a pause that doubles from the first to the last.
const (
	firstListen = 100 * time.Millisecond
	lastListen  = 5 * time.Second
)

// A listener to which nobody speaks asks that often whether its connection still lives, and gives it that long to answer.
const (
	listenCheck  = 15 * time.Second
	listenAnswer = 5 * time.Second
)

// Wakes calls wake with the id of an environment ("" for anything else) whenever another process has
// committed a change of it or an event about it, until ctx ends. It connects again by itself when the
// database was away, and then calls wake with "", as it may have missed some. On SQLite it only waits for ctx: there is
// no other process. logged is called with the id of an environment whose log has new lines. Both must be quick and must not call the store. The error is always nil.
func (s *Store) Wakes(ctx context.Context, wake, logged func(environmentID string)) error {
	if !s.db.Shared() {
		<-ctx.Done()
		return nil
	}
	pause := firstListen
	for ctx.Err() == nil {
		if s.listen(ctx, wake, logged) {
			pause = firstListen
		}
		select {
		case <-ctx.Done():
		case <-time.After(s.db.Apart(pause)):
		}
		pause = min(2*pause, lastListen)
	}
	return nil
}

// Commit is what a transaction of this process has changed, by ids of environments.
type Commit struct {
	// Changed have another row or more events, "" among them for an event of none. Logged have more lines of log.
	Changed, Logged []string
	// All says that others may have changed, too.
	All bool
}

// OnCommit has fn called after each commit of this process. What other processes change is told by Wakes. fn must be quick and must
// not call the store.
func (s *Store) OnCommit(fn func(Commit)) {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	s.changes.committed = append(s.changes.committed, fn)
}

// tellCommitted tells of a commit. One that failed may have been kept all the same.
func (s *Store) tellCommitted(tx *txn, err error) {
	s.changes.mu.Lock()
	fns := s.changes.committed
	s.changes.mu.Unlock()
	c := Commit{
		Changed: slices.Concat(tx.changed.ids, tx.told), Logged: tx.logged, All: err != nil || tx.changed.unnamed > 0,
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

// listen passes on what one connection hears until it breaks, and reports whether there was one.
// Why it broke is seen by everybody else who uses the database.
func (s *Store) listen(ctx context.Context, wake, logged func(string)) (connected bool) {
	conn, err := s.db.Listen(ctx)
	if err != nil {
		return false
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), listenAnswer)
		defer cancel()
		_ = conn.Close(last)
	}()
	if ask(ctx, conn, "LISTEN bothy") != nil {
		return false
	}
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.db.Process()}.Sanitize()); err != nil {
		return false
	}
	s.changes.listening(true)
	defer s.changes.listening(false)
	wake("")
	for {
		n, err := hear(ctx, conn)
		switch {
		case err != nil:
			return true
		case n == nil:
			if ask(ctx, conn, "SELECT 1") != nil {
				return true
			}
			continue
		}
		if n.Channel == s.db.Process() {
			s.changes.arrived(n.Payload)
			continue
		}
		process, id, _ := strings.Cut(n.Payload, "\n")
		if id, log := strings.CutSuffix(id, logAdded); log {
			if process != s.db.Process() {
				logged(id)
			}
			continue
		}
		if id != "" {
			s.changes.note([]string{id}, false)
		}
		if process != s.db.Process() {
			wake(id)
		}
	}
}

// hear waits for a notification; nil: there was none for listenCheck.
func hear(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	once, cancel := context.WithTimeout(ctx, listenCheck)
	defer cancel()
	n, err := conn.WaitForNotification(once)
	if err != nil && once.Err() != nil && ctx.Err() == nil && !conn.IsClosed() {
		return nil, nil
	}
	return n, err
}

// ask gives the server listenAnswer to answer: one that is cut off says nothing, for as long as it is.
func ask(ctx context.Context, conn *pgx.Conn, statement string) error {
	once, cancel := context.WithTimeout(ctx, listenAnswer)
	defer cancel()
	_, err := conn.Exec(once, statement)
	return err
}

// barrierFor is how long a barrier is waited for.
const barrierFor = 500 * time.Millisecond

// logAdded ends what is told of new lines of an environment's log, which change nothing that is decided by.
const logAdded = "\nlog"

// tellLogged tells other processes of new lines of a log when a transaction commits.
func (s *Store) tellLogged(ctx context.Context, tx *txn, id string) error {
	tx.logged = append(tx.logged, id)
	if !s.db.Shared() {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_notify('bothy', $1)", s.db.Process()+"\n"+id+logAdded)
	return err
}

// notify has the database tell this process of something, after all that was committed before.
func (s *Store) notify(ctx context.Context, text string) error {
	_, err := s.db.Read.ExecContext(ctx, "SELECT pg_notify($1, $2)", s.db.Process(), text)
	return err
}

// barrier reports whether everything that was committed before it was called has been told. The database tells in the order of
// commits, so what this process tells itself comes after all of it.
func (c *changes) barrier(ctx context.Context, tell func(ctx context.Context, text string) error) bool {
	c.mu.Lock()
	if !c.listens {
		c.mu.Unlock()
		return false
	}
	c.last++
	text, done := strconv.FormatInt(c.last, 10), make(chan struct{})
	if c.awaited == nil {
		c.awaited = map[string]chan struct{}{}
	}
	c.awaited[text] = done
	c.mu.Unlock()
	defer c.arrived(text)
	ctx, cancel := context.WithTimeout(ctx, barrierFor)
	defer cancel()
	if tell(ctx, text) != nil {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-done:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listens
}

// arrived ends the wait for a barrier.
func (c *changes) arrived(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done := c.awaited[text]; done != nil {
		close(done)
		delete(c.awaited, text)
	}
}
