package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// encodeStart makes an exec's first message, and refuses, before anything is sent, what would not arrive as it is: JSON
// has no way to say bytes that are not UTF-8, and a daemon cuts off a message that is too long.
func encodeStart(start wire.ExecStart) ([]byte, error) {
	if err := checkStart(start); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // else each < and > and & would be six bytes
	if err := e.Encode(start); err != nil {
		return nil, fmt.Errorf("encode exec request: %w", err)
	}
	if b.Len() > wire.ExecMaxStart {
		return nil, &Error{Code: wire.CodeInvalid, Hint: "send the data by stdin, or as a file: bothy cp",
			Sentence: fmt.Sprintf("the command line has %d bytes, at most %d", b.Len(), wire.ExecMaxStart)}
	}
	return b.Bytes(), nil
}

// checkStart looks at each part of a command line.
func checkStart(start wire.ExecStart) error {
	check := func(what, s string) error {
		switch {
		case !utf8.ValidString(s):
			return &Error{Code: wire.CodeInvalid, Sentence: what + " holds bytes that are not UTF-8",
				Hint: "send it by stdin, or let a shell inside make it: sh -c 'cat caf*' or \"$(printf 'caf\\351')\""}
		case len(s) > wire.ExecMaxArgument:
			return &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("%s has %d bytes, at most %d", what, len(s), wire.ExecMaxArgument),
				Hint: "send the data by stdin, or as a file: bothy cp"}
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
	if err := check("the folder (--workdir)", start.Dir); err != nil {
		return err
	}
	return check("the user (--user)", start.User)
}
