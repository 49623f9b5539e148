package recovery

import (
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/store"
)

// memory is a state directory's.
type memory struct{ events, receipts int64 }

func (m *memory) Load() (events, receipts int64, err error) { return m.events, m.receipts, nil }

func (m *memory) Note(events, receipts int64) error { return m.Save(events, receipts) }

func (m *memory) Save(events, receipts int64) error {
	m.events, m.receipts = events, receipts
	return nil
}

// TestMarksGoBackInSafeModeOnly: a database that was restored between a look at it and the end of a sweep must not be taken for
// the one that is known.
func TestMarksGoBackInSafeModeOnly(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "bothy.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kept := &memory{events: 7, receipts: 2}
	m := &SafeMode{cfg: Config{Marks: kept, Store: db}, kept: keptMarks{highWater: highWater{7, 2}, saved: true}}
	if err := m.saveMarks(t.Context(), safety{}); err != nil || *kept != (memory{7, 2}) {
		t.Errorf("kept %+v, %v", *kept, err)
	}
	if err := m.saveMarks(t.Context(), safety{Reason: "restored"}); err != nil || *kept != (memory{}) {
		t.Errorf("in safe mode kept %+v, %v", *kept, err)
	}
}
