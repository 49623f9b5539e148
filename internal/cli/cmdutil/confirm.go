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

// Confirm asks before what cannot be undone, unless yes was said by a flag. Where nobody can be asked that is
// needed; command is the command line up to it.
func (f *Factory) Confirm(ctx context.Context, yes bool, command, question string) error {
	if yes {
		return nil
	}
	if !f.IO.InTTY {
		return Usagef("%s needs --yes where nobody can be asked", command).WithHint("%s --yes", command)
	}
	ok, err := f.Ask(ctx, question)
	if err == nil && !ok {
		err = &Error{Code: wire.CodeConflict, Sentence: "Nothing was done"}
	}
	return err
}

// Ask asks a question of yes or no on the terminal; anything but yes is no. A signal is no answer but an error, which
// says that nothing was done.
func (f *Factory) Ask(ctx context.Context, question string) (bool, error) {
	f.Errf("%s [y/N] ", question)
	answer, err := Read(ctx, func() (string, error) { return bufio.NewReader(f.IO.In).ReadString('\n') })
	if signal, ok := errors.AsType[Interrupted](err); ok {
		f.Errf("\n") // what is told next begins a line
		return false, &Error{Code: CodeInterrupted, Sentence: "Nothing was done", Err: signal}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read answer: %w", err)
	}
	a := strings.ToLower(strings.TrimSpace(answer))
	return a == "y" || a == "yes", nil
}

// Read gives what read gives, or ctx's cause when that comes first: reading from a person may take for ever, and a signal
// must not wait for it. Then read goes on until the process ends, and what it gives is dropped.
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
