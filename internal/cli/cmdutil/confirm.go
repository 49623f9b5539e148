package cmdutil

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// Confirm asks before what cannot be undone, unless yes was said by a flag. Where nobody can be asked that is
// needed; command is the command line up to it.
func (f *Factory) Confirm(yes bool, command, question string) error {
	if yes {
		return nil
	}
	if !f.IO.InTTY {
		return Usagef("%s needs --yes where nobody can be asked", command).WithHint("%s --yes", command)
	}
	ok, err := f.Ask(question)
	if err == nil && !ok {
		err = &Error{Code: wire.CodeConflict, Sentence: "Nothing was done"}
	}
	return err
}

// Ask asks a question of yes or no on the terminal; anything but yes is no.
func (f *Factory) Ask(question string) (bool, error) {
	f.Errf("%s [y/N] ", question)
	answer, err := bufio.NewReader(f.IO.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read answer: %w", err)
	}
	a := strings.ToLower(strings.TrimSpace(answer))
	return a == "y" || a == "yes", nil
}
