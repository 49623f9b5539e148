package daemon_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/retention"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
)

// day is a day of the clock.
const day = 24 * time.Hour

// kept keeps each class for another time.
func kept(c *daemon.Config) {
	patient(c)
	c.Retention = retention.Periods{Events: 60 * day, Logs: 10 * day, Environments: 40 * day, Entries: 80 * day, Receipts: 100 * day}
}

// TestRecordsAreKeptForTheirTime: each class of records is there for as long as is said, and gone after; reports stay as they were, the
// chain of receipts goes on, and what lives keeps all that is its own.
func TestRecordsAreKeptForTheirTime(t *testing.T) {
	b := setup(t, kept).run()
	ttl := 8 * time.Hour
	gone := b.untilState(b.acquire(func(r *service.Request) { r.IdempotencyKey, r.TTL = "once", &ttl }).ID, fleet.Leased)
	b.pass(time.Hour)
	b.release(gone.ID)
	cost := b.cost(platform, service.CostQuery{By: "user"})
	if cost.Total.Total == 0 {
		t.Fatal("it cost nothing")
	}
	for _, c := range []struct {
		days                                    int
		events, logs, row, entries, receiptKept bool
	}{
		{9, true, true, true, true, true},
		{11, true, false, true, true, true},
		{41, true, false, false, true, true},
		{61, false, false, false, true, true},
		{82, false, false, false, false, true},
		{101, false, false, false, false, true}, // the newest receipt stays: the next one follows it
	} {
		b.pass(gone.CreatedAt.Add(time.Duration(c.days) * day).Sub(b.clock.Now()))
		waitUntil(t, "this daemon leads", b.engine.Leads)
		if err := b.engine.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		events, err := b.db.EventsBy(t.Context(), store.EventFilter{EnvironmentID: gone.ID})
		if err != nil || len(events) > 0 != c.events {
			t.Errorf("after %d days: %d events, %v", c.days, len(events), err)
		}
		lines, err := b.db.Log(t.Context(), gone.ID, 0, time.Time{}, 0)
		if err != nil || len(lines) > 0 != c.logs {
			t.Errorf("after %d days: %d lines of log, %v", c.days, len(lines), err)
		}
		if _, err := b.db.Get(t.Context(), gone.ID); err == nil != c.row {
			t.Errorf("after %d days: its row: %v", c.days, err)
		}
		entries, err := b.db.Entries(t.Context(), gone.ID)
		if err != nil || len(entries) > 0 != c.entries {
			t.Errorf("after %d days: %d entries, %v", c.days, len(entries), err)
		}
		if _, err := b.db.Receipt(t.Context(), gone.ID); err == nil != c.receiptKept {
			t.Errorf("after %d days: its receipt: %v", c.days, err)
		}
		if got := b.cost(platform, service.CostQuery{By: "user"}); fmt.Sprint(got) != fmt.Sprint(cost) {
			t.Errorf("after %d days the cost is %+v, it was %+v", c.days, got, cost)
		}
		if off, err := b.db.CheckSpend(t.Context()); err != nil || len(off) > 0 {
			t.Errorf("after %d days: %v, %v", c.days, off, err)
		}
	}
	again := b.untilState(b.acquire(func(r *service.Request) { r.IdempotencyKey = "once" }).ID, fleet.Leased)
	b.release(again.ID)
	receipts, err := b.db.Receipts(t.Context(), 0, 0)
	if err != nil || len(receipts) != 2 || receipts[1].PrevHash != receipts[0].Hash {
		t.Errorf("the chain goes on with %d, %v", len(receipts), err)
	}
	if err := b.engine.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if receipts, err = b.db.Receipts(t.Context(), 0, 0); err != nil || len(receipts) != 1 || receipts[0].EnvironmentID != again.ID {
		t.Errorf("after 101 days there are %d receipts, %v; want the newest", len(receipts), err)
	}
}

// TestOnlyTheLeaderPrunes: another daemon removes nothing, and nobody does in safe mode.
func TestOnlyTheLeaderPrunes(t *testing.T) {
	b := setup(t, kept)
	for range 3 {
		b.tell(fleet.Environment{}, "old")
	}
	count := func() int {
		t.Helper()
		events, err := b.db.EventsBy(t.Context(), store.EventFilter{Limit: store.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range events {
			if e.Kind == "test" {
				n++
			}
		}
		return n
	}
	b.clock.advance(90 * day)
	if err := b.engine.Retain(t.Context()); err != nil || count() != 3 {
		t.Fatalf("one that does not lead left %d events, %v", count(), err)
	}
	if err := b.db.SetSetting(t.Context(), "safe-mode", `{"reason":"it was restored","rows":true}`); err != nil {
		t.Fatal(err)
	}
	b.run()
	waitUntil(t, "this daemon leads", b.engine.Leads)
	if err := b.engine.Retain(t.Context()); err != nil || count() != 3 {
		t.Fatalf("in safe mode %d events are left, %v", count(), err)
	}
	if err := b.db.SetSetting(t.Context(), "safe-mode", ""); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Retain(t.Context()); err != nil || count() != 0 {
		t.Fatalf("after safe mode %d events are left, %v", count(), err)
	}
}
