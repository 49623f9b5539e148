package store

import (
	"errors"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// ErrSetBack says that the database ends before what this process has recorded in it, so it was restored meanwhile. It carries CodeUnavailable.
var ErrSetBack = txn.ErrSetBack

// ErrDamaged says that the database's file cannot be read any more. It carries CodeUnavailable.
var ErrDamaged = dialect.ErrDamaged

// The ways in which a write comes too late; all carry CodeConflict.
var (
	// ErrNameTaken: a live environment of the tenant has the name.
	ErrNameTaken = errors.New("the name is taken")
	// ErrMoved: the row's revision is no longer the expected one.
	ErrMoved = errors.New("the environment has moved on")
	// ErrFenced: the work was taken over, so the writer's generation is an old one.
	ErrFenced = errors.New("the work was taken over by another worker")
	// ErrDeposed: another daemon has taken the lead, so what is written in the name of the former leader is refused.
	ErrDeposed = txn.ErrDeposed
)

// late makes an ErrMoved or ErrFenced with its sentence.
func late(cause error, format string, args ...any) error {
	return &fleet.Error{Code: fleet.CodeConflict, Sentence: fmt.Sprintf(format, args...), Err: cause}
}
