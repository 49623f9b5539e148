package store

import (
	"context"
	"strings"
	"time"
)

// A daemon that cannot listen tries again after a pause that doubles from the first to the last.
const (
	firstListen = 100 * time.Millisecond
	lastListen  = 5 * time.Second
)

// Wakes calls wake with the id of an environment ("" for anything else) whenever another process has
// committed a change of it or an event about it, until ctx ends. It connects again by itself when the
// database was away, and then calls wake with "", as it may have missed some. On SQLite it only waits for ctx: there is
// no other process. wake must be quick and must not call the store. The error is always nil.
func (s *Store) Wakes(ctx context.Context, wake func(environmentID string)) error {
	if s.pg == nil {
		<-ctx.Done()
		return nil
	}
	pause := firstListen
	for ctx.Err() == nil {
		if s.listen(ctx, wake) {
			pause = firstListen
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastListen)
	}
	return nil
}

// listen passes on what one connection hears until it breaks, and reports whether there was one.
// Why it broke is seen by everybody else who uses the database.
func (s *Store) listen(ctx context.Context, wake func(string)) (connected bool) {
	conn, err := s.pg.connect(ctx)
	if err != nil {
		return false
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadAnswer)
		defer cancel()
		_ = conn.Close(last)
	}()
	if _, err := conn.Exec(ctx, "LISTEN bothy"); err != nil {
		return false
	}
	wake("")
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return true
		}
		if process, id, _ := strings.Cut(n.Payload, "\n"); process != s.pg.process {
			wake(id)
		}
	}
}
