package sqlkit

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Micros is a time as stored: microseconds since 1970, 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros is the reverse of Micros, in UTC.
func FromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// Prose makes any text valid for both databases: UTF-8 without NUL.
func Prose(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Column binds a column to a field: it can be scanned into and passed as an argument.
type Column interface {
	sql.Scanner
	driver.Valuer
}

// Time binds a time, stored in microseconds.
func Time(t *time.Time) Column { return timeField{t} }

// Int binds an int.
func Int(n *int) Column { return intField{n} }

// Text binds a text of any origin.
func Text(s *string) Column { return proseField{s} }

// Bool binds a flag.
func Bool(b *bool) Column { return boolField{b} }

// JSON binds a list or a map of plain values.
func JSON[T any](v *T) Column { return jsonField[T]{v} }

// Inputs binds a map of strings, integers, floats and flags, and preserves their types.
func Inputs(m *map[string]any) Column { return inputsField{m} }

type timeField struct{ t *time.Time }

// Scan reads microseconds.
func (f timeField) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("read time: got %T", src)
	}
	*f.t = FromMicros(n)
	return nil
}

// Value returns microseconds.
func (f timeField) Value() (driver.Value, error) { return Micros(*f.t), nil }

type intField struct{ n *int }

// Scan reads an integer.
func (f intField) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("read number: got %T", src)
	}
	*f.n = int(n)
	return nil
}

// Value returns the integer.
func (f intField) Value() (driver.Value, error) { return int64(*f.n), nil }

type proseField struct{ s *string }

// Scan reads a text.
func (f proseField) Scan(src any) error {
	b, err := text(src)
	*f.s = string(b)
	return err
}

// Value returns the text, valid for both databases.
func (f proseField) Value() (driver.Value, error) { return Prose(*f.s), nil }

type boolField struct{ b *bool }

// Scan reads 0 or 1.
func (f boolField) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("read flag: got %T", src)
	}
	*f.b = n != 0
	return nil
}

// Value returns 0 or 1.
func (f boolField) Value() (driver.Value, error) {
	if *f.b {
		return int64(1), nil
	}
	return int64(0), nil
}

// jsonField stores a list or a map of plain values as JSON, "" when it is empty.
type jsonField[T any] struct{ v *T }

// Scan reads JSON.
func (f jsonField[T]) Scan(src any) error {
	*f.v = *new(T) // not the last row's value, which ReadJSON would write into
	return ReadJSON(src, f.v)
}

// Value returns JSON.
func (f jsonField[T]) Value() (driver.Value, error) {
	if v := reflect.ValueOf(*f.v); v.Len() == 0 {
		return "", nil
	}
	return WriteJSON(*f.v)
}

type inputsField struct{ inputs *map[string]any }

// Scan reads a JSON object. A number with a point or an exponent is a float64, any other an int64.
func (f inputsField) Scan(src any) error {
	*f.inputs = nil
	b, err := text(src)
	if err != nil || len(b) == 0 {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	if err := decoder.Decode(f.inputs); err != nil {
		return fmt.Errorf("read inputs: %w", err)
	}
	for name, value := range *f.inputs {
		number, ok := value.(json.Number)
		if !ok {
			continue
		}
		if strings.ContainsAny(number.String(), ".eE") {
			(*f.inputs)[name], err = number.Float64()
		} else {
			(*f.inputs)[name], err = number.Int64()
		}
		if err != nil {
			return fmt.Errorf("read input %q: %w", name, err)
		}
	}
	return nil
}

// Value returns a JSON object, "" for none; a float64 always has a point or an exponent.
func (f inputsField) Value() (driver.Value, error) {
	if len(*f.inputs) == 0 {
		return "", nil
	}
	kept := make(map[string]any, len(*f.inputs))
	for name, value := range *f.inputs {
		switch v := value.(type) {
		case string, bool, int64:
			kept[name] = v
		case int:
			kept[name] = int64(v)
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("input %q is not a finite number", name)
			}
			digits := strconv.FormatFloat(v, 'g', -1, 64)
			if !strings.ContainsAny(digits, ".e") {
				digits += ".0"
			}
			kept[name] = json.Number(digits)
		default:
			return nil, fmt.Errorf("input %q is a %T, not a string, int64, float64 or bool", name, value)
		}
	}
	return WriteJSON(kept)
}

// text returns a text column's bytes.
func text(src any) ([]byte, error) {
	switch s := src.(type) {
	case string:
		return []byte(s), nil
	case []byte:
		return s, nil
	}
	return nil, fmt.Errorf("read text: got %T", src)
}

// ReadJSON reads a text column of JSON into a target. An empty column leaves the target unchanged.
func ReadJSON(src, into any) error {
	b, err := text(src)
	if err != nil || len(b) == 0 {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	return nil
}

// WriteJSON returns a value as JSON.
func WriteJSON(v any) (driver.Value, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return string(b), nil
}
