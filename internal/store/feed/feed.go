// Package feed keeps a process informed of changes in the database: commits of other processes, and the live environments, kept in
// memory.
package feed

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bothy-env/bothy/internal/store/txn"
)

// A daemon that cannot listen retries after a pause that doubles from the first to the last.
const (
	firstListen = 100 * time.Millisecond
	lastListen  = 5 * time.Second
)

// A silent listener checks its connection every listenCheck, with listenAnswer to answer.
const (
	listenCheck  = 15 * time.Second
	listenAnswer = 5 * time.Second
)

// Feed is what one process hears of a database.
type Feed struct {
	db *txn.DB
	// changes distributes the news of changed rows.
	changes changes
}

// New returns the feed of a database.
func New(db *txn.DB) *Feed {
	f := &Feed{db: db}
	if !db.Shared() { // only this process writes; otherwise the database reports
		db.OnCommit(func(c txn.Commit) {
			if c.All || len(c.Rows) > 0 {
				f.changes.note(c.Rows, c.All)
			}
		})
	}
	return f
}

// Wakes calls wake with the id of an environment ("" for anything else) whenever another process has committed a change of it or an event
// about it, until ctx ends, and logged with the id of an environment whose log has new lines. It reconnects by itself, and then calls
// wake with "", because it may have missed changes. On SQLite there is no other process, and it only waits for ctx. Both functions must
// be quick and must not call the store. The error is always nil.
func (f *Feed) Wakes(ctx context.Context, wake, logged func(environmentID string)) error {
	if !f.db.Shared() {
		<-ctx.Done()
		return nil
	}
	pause := firstListen
	for ctx.Err() == nil {
		if f.listen(ctx, wake, logged) {
			pause = firstListen
		}
		select {
		case <-ctx.Done():
		case <-time.After(f.db.Apart(pause)):
		}
		pause = min(2*pause, lastListen)
	}
	return nil
}

// listen forwards what one connection hears until it breaks, and reports whether it connected. Other users of the database report why it
// broke.
func (f *Feed) listen(ctx context.Context, wake, logged func(string)) (connected bool) {
	conn, err := f.db.Listen(ctx)
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
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{f.db.Process()}.Sanitize()); err != nil {
		return false
	}
	f.changes.listening(true)
	defer f.changes.listening(false)
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
		if n.Channel == f.db.Process() {
			f.changes.arrived(n.Payload)
			continue
		}
		process, id, _ := strings.Cut(n.Payload, "\n")
		if id, log := strings.CutSuffix(id, txn.LogAdded); log {
			if process != f.db.Process() {
				logged(id)
			}
			continue
		}
		if id != "" {
			f.changes.note([]string{id}, false)
		}
		if process != f.db.Process() {
			wake(id)
		}
	}
}

// hear waits for a notification; nil means that none came for listenCheck.
func hear(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	once, cancel := context.WithTimeout(ctx, listenCheck)
	defer cancel()
	n, err := conn.WaitForNotification(once)
	if err != nil && once.Err() != nil && ctx.Err() == nil && !conn.IsClosed() {
		return nil, nil
	}
	return n, err
}

// ask gives the server listenAnswer to answer: a connection that is cut off stays silent.
func ask(ctx context.Context, conn *pgx.Conn, statement string) error {
	once, cancel := context.WithTimeout(ctx, listenAnswer)
	defer cancel()
	_, err := conn.Exec(once, statement)
	return err
}

// notify makes the database notify this process, after everything that was committed before.
func (f *Feed) notify(ctx context.Context, text string) error {
	_, err := f.db.Read.ExecContext(ctx, "SELECT pg_notify($1, $2)", f.db.Process(), text)
	return err
}
