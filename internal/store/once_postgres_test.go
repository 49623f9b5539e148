package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// TestFirstKeyWins (R5): two daemons that meet on one empty database at the same moment, each with a key of its own, are told the
// same one: the other is refused. A writer that reads before it writes is passed by another, about once in six times.
func TestFirstKeyWins(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	var daemons [2]*store.Store
	for i := range daemons {
		s, err := store.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		daemons[i] = s
	}
	for round := range 50 {
		var kept [2]string
		var both sync.WaitGroup
		start := make(chan struct{})
		for i, s := range daemons {
			both.Go(func() {
				<-start
				var err error
				if kept[i], err = s.SettingOnce(t.Context(), fmt.Sprint("key of round ", round), fmt.Sprint("of daemon ", i)); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		both.Wait()
		if kept[0] != kept[1] || kept[0] == "" {
			t.Fatalf("round %d: one was told %q, the other %q", round, kept[0], kept[1])
		}
	}
}
