package store

import (
	"errors"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// ErrSetBack means that the database is older than what this process has written to it, so it was restored meanwhile. It carries CodeUnavailable.
var ErrSetBack = txn.ErrSetBack

// ErrDamaged means that the database file is corrupt. It carries CodeUnavailable.
var ErrDamaged = dialect.ErrDamaged

// Errors of writes that come too late; all carry CodeConflict.
var (
	// ErrNameTaken: a live environment of the tenant has the name.
	ErrNameTaken = errors.New("the name is taken")
	// ErrMoved: the row's revision is no longer the expected one.
	ErrMoved = errors.New("the environment has moved on")
	// ErrFenced: the work was taken over, so the writer's generation is outdated.
	ErrFenced = errors.New("the work was taken over by another worker")
	// ErrDeposed: another daemon has taken the lead, so writes in the name of the former leader are refused.
	ErrDeposed = txn.ErrDeposed
)

// late returns an ErrMoved or ErrFenced with a sentence.
func late(cause error, format string, args ...any) error {
	return &fleet.Error{Code: fleet.CodeConflict, Sentence: fmt.Sprintf(format, args...), Err: cause}
}
