package cmdutil

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// Confirm asks for confirmation before an action that cannot be undone, unless the user passed --yes. Without a terminal --yes is
// required; command is the command line to show in the error.
func (f *Factory) Confirm(ctx context.Context, yes bool, command, question string) error {
	if yes {
		return nil
	}
	if !f.IO.InTTY {
		return Usagef("%s: cannot ask for confirmation without a terminal", command).WithHint("%s --yes", command)
	}
	ok, err := f.Ask(ctx, question)
	if err == nil && !ok {
		err = &Error{Code: wire.CodeConflict, Sentence: "Cancelled. Nothing was changed."}
	}
	return err
}

// Ask asks a yes/no question on the terminal. Any answer but yes is no. A signal returns an error which says that nothing was changed.
func (f *Factory) Ask(ctx context.Context, question string) (bool, error) {
	f.Errf("%s [y/N] ", question)
	answer, err := Read(ctx, func() (string, error) { return bufio.NewReader(f.IO.In).ReadString('\n') })
	if signal, ok := errors.AsType[Interrupted](err); ok {
		f.Errf("\n") // the error starts on a line of its own
		return false, &Error{Code: CodeInterrupted, Sentence: "Cancelled. Nothing was changed.", Err: signal}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("cannot read the answer: %w", err)
	}
	a := strings.ToLower(strings.TrimSpace(answer))
	return a == "y" || a == "yes", nil
}

// Read returns the result of read, or the cause of ctx if that comes first: reading from a person may take forever, and a signal
// must not wait for it. In that case read continues until the process ends, and its result is dropped.
func Read[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
