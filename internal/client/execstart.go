package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// encodeStart encodes the first message of an exec. It refuses values that would not arrive unchanged: JSON cannot represent bytes that
// are not UTF-8, and the daemon rejects a message that is too long.
func encodeStart(start wire.ExecStart) ([]byte, error) {
	if err := checkStart(start); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // otherwise <, > and & take six bytes each
	if err := e.Encode(start); err != nil {
		return nil, fmt.Errorf("cannot encode exec request: %w", err)
	}
	if b.Len() > wire.ExecMaxStart {
		return nil, &Error{Code: wire.CodeInvalid, Hint: "send the data through stdin, or as a file with bothy cp",
			Sentence: fmt.Sprintf("command line too long: %d bytes, limit %d", b.Len(), wire.ExecMaxStart)}
	}
	return b.Bytes(), nil
}

// checkStart checks each part of a command line.
func checkStart(start wire.ExecStart) error {
	check := func(what, s string) error {
		switch {
		case !utf8.ValidString(s):
			return &Error{Code: wire.CodeInvalid, Sentence: what + " is not valid UTF-8",
				Hint: "send the bytes through stdin, or create them with a shell in the environment: sh -c 'cat caf*' or \"$(printf 'caf\\351')\""}
		case len(s) > wire.ExecMaxArgument:
			return &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("%s is too long: %d bytes, limit %d", what, len(s), wire.ExecMaxArgument),
				Hint: "send the data through stdin, or as a file with bothy cp"}
		}
		return nil
	}
	for i, s := range start.Command {
		what := "the command"
		if i > 0 {
			what = fmt.Sprintf("argument %d of the command", i)
		}
		if err := check(what, s); err != nil {
			return err
		}
	}
	for _, kv := range start.Env {
		name, _, _ := strings.Cut(kv, "=")
		if err := check(fmt.Sprintf("variable %.40q", name), kv); err != nil {
			return err
		}
	}
	if err := check("the directory (--workdir)", start.Dir); err != nil {
		return err
	}
	return check("the user (--user)", start.User)
}
