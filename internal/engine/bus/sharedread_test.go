package bus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestSharedRead: those that ask while a read is under way share the next one, and none is given what was read before it asked.
func TestSharedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, reads int
		hold := make(chan struct{})
		s := SharedRead[int]{Read: func(context.Context) (int, error) {
			reads++
			value := now
			<-hold
			return value, nil
		}}
		var wg sync.WaitGroup
		get := func(want int) {
			wg.Go(func() {
				if got, err := s.Get(t.Context()); got != want || err != nil {
					t.Errorf("got %d, %v; want %d", got, err, want)
				}
			})
			synctest.Wait()
		}
		get(0)
		now = 1
		get(1)
		get(1)
		ctx, leave := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := s.Get(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("whoever left was told %v", err)
			}
		})
		synctest.Wait()
		leave()
		close(hold)
		wg.Wait()
		if reads != 2 {
			t.Errorf("%d reads for four that asked, want 2", reads)
		}
		now = 2
		get(2)
		wg.Wait()
	})
}

// TestASharedReadHasAnEnd: a database that never answers keeps nobody for longer than two reads may take, whatever they wait for.
func TestASharedReadHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := SharedRead[int]{Read: func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}}
		began := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := s.Get(t.Context()); fleet.CodeOf(err) != fleet.CodeUnavailable {
					t.Errorf("got %v, want unavailable", err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if took := time.Since(began); took != 2*sharedReadFor {
			t.Errorf("the last was answered after %s, want %s", took, 2*sharedReadFor)
		}
	})
}
