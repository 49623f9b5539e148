package fleet_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

func TestCodeOf(t *testing.T) {
	quota := fleet.Errorf(fleet.CodeQuota, "too many")
	for _, c := range []struct {
		name string
		err  error
		want fleet.Code
	}{
		{"nil", nil, ""},
		{"foreign", io.EOF, fleet.CodeInternal},
		{"coded", quota, fleet.CodeQuota},
		{"wrapped", fmt.Errorf("admit: %w", quota), fleet.CodeQuota},
		{"joined", errors.Join(io.EOF, quota), fleet.CodeQuota},
		{"the outermost counts", fleet.Errorf(fleet.CodeUnavailable, "later: %w", quota), fleet.CodeUnavailable},
	} {
		if got := fleet.CodeOf(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestErrorf(t *testing.T) {
	err := fleet.Errorf(fleet.CodeUnavailable, "read %s: %w", "state", io.ErrUnexpectedEOF).WithHint("try %d times", 3)
	if err.Error() != "read state: unexpected EOF" || err.Hint != "try 3 times" || err.Code != fleet.CodeUnavailable {
		t.Errorf("got %+v", err)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	plain := fleet.Errorf(fleet.CodeInvalid, "no cause")
	if errors.Unwrap(plain) != nil || plain.Hint != "" {
		t.Errorf("got %+v", plain)
	}
}
