package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// Bounds of JSON that comes in, so that the cost of judging it is bounded whatever is in it.
const (
	// maxMarks is the most brackets, commas and colons.
	maxMarks = 10_000
	// maxDepth is the deepest nesting.
	maxDepth = 32
	// maxKeys is the most keys of one object.
	maxKeys = 1_000
	// maxDigits is the longest number, in bytes.
	maxDigits = 64
)

// strictJSON is the format of bodies: JSON within bounds, each key once.
var strictJSON = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: decodeJSON}

// decodeJSON decodes a text after it was judged. Its errors repeat nothing of the text. huma decodes twice, for its
// validator and into the type, and the second time whatever came of the first.
func decodeJSON(data []byte, v any) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	err := json.Unmarshal(data, v)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		if syntax.Offset >= int64(len(data)) {
			return errors.New("unexpected end of JSON")
		}
		return fmt.Errorf("invalid JSON at byte %d", syntax.Offset)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("a value has the wrong type or range, at byte %d", wrong.Offset)
	}
	if err != nil {
		return errors.New("a value has the wrong type or range")
	}
	return nil
}

// checkJSON refuses a text that is out of bounds, not UTF-8, or gives a key of an object twice. It reads the text once, and
// keeps nothing but keys. What is no JSON at all is left to the decoder: it finds every such fault, and this none.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	c := checker{data: data}
	for c.at < len(data) {
		if err := c.next(); err != nil {
			return err
		}
	}
	return nil
}

// checker is checkJSON under way.
type checker struct {
	data  []byte
	at    int
	marks int
	// inside are the objects and lists that are open, the innermost last.
	inside []frame
}

// frame is an object, with the keys that it has, or a list, which has none.
type frame struct {
	keys map[string]bool
	// key says that the next string is a key.
	key bool
}

// next reads one mark, string or number.
func (c *checker) next() error {
	switch b := c.data[c.at]; {
	case b == '"':
		return c.text()
	case b == '-' || (b >= '0' && b <= '9'):
		return c.number()
	case b == '{':
		c.inside = append(c.inside, frame{keys: map[string]bool{}, key: true})
	case b == '[':
		c.inside = append(c.inside, frame{})
	case b == '}' || b == ']':
		c.inside = c.inside[:max(0, len(c.inside)-1)]
	case b == ',':
		if n := len(c.inside); n > 0 && c.inside[n-1].keys != nil {
			c.inside[n-1].key = true
		}
	case b != ':':
		c.at++
		return nil
	}
	c.at++
	if c.marks++; c.marks > maxMarks {
		return fmt.Errorf("more than %d brackets, commas and colons", maxMarks)
	}
	if len(c.inside) > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

// text reads a string, and notes it when it is a key.
func (c *checker) text() error {
	from, escaped := c.at, false
	for c.at++; c.at < len(c.data) && c.data[c.at] != '"'; c.at++ {
		if c.data[c.at] == '\\' {
			escaped = true
			c.at++
		}
	}
	c.at = min(c.at+1, len(c.data))
	n := len(c.inside)
	if n == 0 || !c.inside[n-1].key {
		return nil
	}
	object := &c.inside[n-1]
	object.key = false
	key := string(c.data[from:c.at])
	if escaped {
		// Two spellings of one key are the same; what is no string is left to the decoder.
		_ = json.Unmarshal(c.data[from:c.at], &key)
		key = `"` + key + `"`
	}
	if object.keys[key] {
		return fmt.Errorf("duplicate key at byte %d", from)
	}
	if object.keys[key] = true; len(object.keys) > maxKeys {
		return fmt.Errorf("an object of more than %d keys", maxKeys)
	}
	return nil
}

func (c *checker) number() error {
	from := c.at
	for c.at++; c.at < len(c.data); c.at++ {
		b := c.data[c.at]
		if (b < '0' || b > '9') && b != '.' && b != 'e' && b != 'E' && b != '+' && b != '-' {
			break
		}
	}
	if c.at-from > maxDigits {
		return fmt.Errorf("a number of more than %d digits, at byte %d", maxDigits, from)
	}
	return nil
}
