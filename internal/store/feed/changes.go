package feed

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// news are the ids of rows that may have changed since they were last taken.
type news struct {
	mu  sync.Mutex
	ids map[string]bool
	all bool
}

func (n *news) take() (ids map[string]bool, all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids, all = n.ids, n.all
	n.ids, n.all = map[string]bool{}, false
	return ids, all
}

func (n *news) note(ids []string, all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all = n.all || all || len(n.ids)+len(ids) > mostChanged; n.all {
		clear(n.ids)
		return
	}
	for _, id := range ids {
		n.ids[id] = true
	}
}

// changes distributes the news of changed rows.
type changes struct {
	mu  sync.Mutex
	all []*news
	// listens: the database reports all changes; awaited are barriers in flight.
	listens bool
	last    int64
	awaited map[string]chan struct{}
}

func (c *changes) subscribe() *news {
	n := &news{ids: map[string]bool{}, all: true}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, n)
	return n
}

// note reports changed rows; all means that any row may have changed.
func (c *changes) note(ids []string, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.all {
		n.note(ids, all)
	}
}

// listening sets whether the database reports changes from now on. Earlier reports may be incomplete.
func (c *changes) listening(is bool) {
	c.mu.Lock()
	c.listens = is
	for _, done := range c.awaited {
		close(done)
	}
	c.awaited = nil
	c.mu.Unlock()
	c.note(nil, true)
}

// barrierFor is how long to wait for a barrier.
const barrierFor = 500 * time.Millisecond

// barrier reports whether everything committed before the call has been reported. The database reports in the order of commits, so this
// process's own notification comes after all of it.
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
