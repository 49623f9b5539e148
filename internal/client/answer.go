package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// Limits of an answer, because the daemon may be broken or another program.
const (
	// maxOne is the maximum size of an answer with one object, of a problem and of a line of a stream, in bytes; maxList of a list,
	// maxReport of a cost report, which has a row per group.
	maxOne    = 1 << 20
	maxList   = 8 << 20
	maxReport = 16 << 20
	// valuesOne, valuesList and valuesReport limit the number of JSON values: a few bytes can expand to a large value.
	valuesOne    = 50_000
	valuesList   = 400_000
	valuesReport = 800_000
	// maxItems is the maximum number of items in a list without pages.
	maxItems = 10_000
)

// tooMuch reports that an answer exceeds what.
type tooMuch struct{ what string }

func (e *tooMuch) Error() string { return "the answer exceeds " + e.what }

// bounded reads JSON and fails with a tooMuch if it exceeds the number of bytes or values. It counts commas and
// opening brackets outside strings, so each byte costs the same.
type bounded struct {
	r                io.Reader
	bytes, values    int
	inString, escape bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) > b.bytes+1 {
		p = p[:b.bytes+1]
	}
	n, err := b.r.Read(p)
	if b.bytes -= n; b.bytes < 0 {
		return 0, &tooMuch{"the limits of bothyd"}
	}
	for _, c := range p[:n] {
		switch {
		case b.escape:
			b.escape = false
		case b.inString:
			b.escape, b.inString = c == '\\', c != '"'
		case c == '"':
			b.inString = true
		case c == ',' || c == '[' || c == '{':
			if b.values--; b.values < 0 {
				return 0, &tooMuch{"the limits of bothyd"}
			}
		}
	}
	return n, err
}

// errNotJSON marks an answer of an unexpected form.
var errNotJSON = errors.New("unexpected JSON")

// decodeOne decodes one JSON object into out.
func decodeOne(r io.Reader, out any) error {
	limit := &bounded{r: r, bytes: maxOne, values: valuesOne}
	switch out.(type) {
	case *wire.OrphanReport:
		limit.bytes, limit.values = maxList, valuesList
	case *wire.CostReport:
		limit.bytes, limit.values = maxReport, valuesReport
	}
	dec := json.NewDecoder(limit)
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return answerFault(err)
	}
	if !bytes.HasPrefix(raw, []byte("{")) || json.Unmarshal(raw, out) != nil {
		return errNotJSON
	}
	return ended(dec)
}

// list is the target of decoding a list item by item.
type list[T any] struct {
	key   string
	most  int
	items []T
	next  string
}

// decoder is an answer that decodes itself.
type decoder interface{ decode(r io.Reader) error }

// decode decodes {"key": [...], "next": "..."}. The key is required.
func (l *list[T]) decode(r io.Reader) error {
	dec := json.NewDecoder(&bounded{r: r, bytes: maxList, values: valuesList})
	l.items, l.next = []T{}, ""
	if err := delim(dec, '{'); err != nil {
		return err
	}
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return answerFault(err)
		}
		switch key {
		case l.key:
			found = true
			err = l.decodeItems(dec)
		case "next":
			err = answerFault(dec.Decode(&l.next))
		default:
			var other json.RawMessage
			err = answerFault(dec.Decode(&other))
		}
		if err != nil {
			return err
		}
	}
	if err := delim(dec, '}'); err != nil {
		return err
	}
	if !found {
		return errNotJSON
	}
	return ended(dec)
}

func (l *list[T]) decodeItems(dec *json.Decoder) error {
	begin, err := dec.Token()
	switch {
	case err != nil:
		return answerFault(err)
	case begin == nil: // Go encodes an empty list as null
		return nil
	case begin != json.Delim('['):
		return errNotJSON
	}
	for dec.More() {
		if len(l.items) == l.most {
			return &tooMuch{fmt.Sprintf("the %d requested items", l.most)}
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return answerFault(err)
		}
		var item T
		if !bytes.HasPrefix(raw, []byte("{")) || json.Unmarshal(raw, &item) != nil {
			return errNotJSON
		}
		l.items = append(l.items, item)
	}
	return delim(dec, ']')
}

// delim decodes one bracket.
func delim(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err != nil {
		return answerFault(err)
	}
	if got != want {
		return errNotJSON
	}
	return nil
}

// ended checks that the answer ends here.
func ended(dec *json.Decoder) error {
	_, err := dec.Token()
	switch {
	case err == nil:
		return errNotJSON
	case errors.Is(err, io.EOF):
		return nil
	}
	return answerFault(err)
}

// answerFault returns errNotJSON for an error in the text; it returns errors of the connection unchanged.
func answerFault(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax), errors.As(err, &kind):
		return errNotJSON
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF): // an empty answer
		return errNotJSON
	}
	return err
}

// isJSON reports whether the content type of an answer is JSON.
func isJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// overfull returns the error of an answer that exceeds the limits.
func (c *Client) overfull(err *tooMuch, status int) *Error {
	e := c.notBothys(status)
	e.Code, e.Sentence, e.Err = wire.CodeTooLarge, e.Sentence+": "+err.Error(), err
	return e
}
