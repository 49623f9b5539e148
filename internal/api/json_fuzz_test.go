package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// FuzzJSON compares the judge of bodies with encoding/json. What the judge accepts and the decoder decodes has one meaning:
// every key once, whether or not its spelling is folded as encoding/json folds the names of fields; and it is within bounds.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","Name":"b"}`, `{"name":"a","n\u0061me":"b"}`, `{"vars":{"a":"1","A":"2"}}`, `{"ſize":"a","size":"b"}`, "\ufeff{}", `{} {}`, `{}x`, ` {} `,
		`{"ttl_seconds":1e400}`, `{"ttl_seconds":-0}`, `{"ttl_seconds":1.0}`, `[[[[]]]]`, `{"a":{"b":[{"c":1,"c":2}]}}`, `{"\ud800":1,"\ufffd":2}`, `{"a\"b":1,"a\u0022b":2}`,
		`{"a":1,}`, `{"a" "a"}`, `{,"a":1,"a":2}`, `{"a":"\`, `"`, `{"a":[1,{"b":2},"a"],"a":0}`, `]{"a":1,"a":2}`, `{"":1,"":2}`, `null`, "{\"a\x00\":1}",
		strings.Repeat(`[`, 33) + strings.Repeat(`]`, 33), `{"a":` + strings.Repeat("1", 65) + `}`, "{}\xef\xbb\xbf", "\xff\xfe{\x00}\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var loose any
		err := decodeJSON(data, &loose)
		if (json.Unmarshal(data, new(any)) != nil) && err == nil {
			t.Fatal("accepted what is no JSON")
		}
		if err != nil {
			if len(err.Error()) > 100 || len(data) > 8 && bytes.Contains([]byte(err.Error()), data) {
				t.Fatalf("the error repeats the text: %q", err)
			}
			return
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		if twice, deepest := walk(t, dec, 0); twice != "" || deepest > maxDepth {
			t.Fatalf("accepted the key %q twice, or %d levels", twice, deepest)
		}
		// The strict walk by tokens, and the map that the validator sees, have the same keys; the request's type takes from them
		// what has its very name, or the validator refuses it.
		again, err := json.Marshal(loose)
		if err != nil {
			t.Fatal(err)
		}
		var first, second wire.CreateRequest
		if json.Unmarshal(data, &first) != nil || !strictKeys(loose) {
			return
		}
		if err := json.Unmarshal(again, &second); err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v, and after the validator's map %+v, %v", first, second, err)
		}
	})
}

// walk reads one value and gives a key that an object in it has twice, and the deepest nesting.
func walk(t *testing.T, dec *json.Decoder, depth int) (twice string, deepest int) {
	token, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	open, ok := token.(json.Delim)
	if !ok {
		return "", depth
	}
	depth++
	deepest = depth
	keys := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			if name, _ := key.(string); keys[name] {
				return name + " ", deepest
			} else {
				keys[name] = true
			}
		}
		inner, d := walk(t, dec, depth)
		deepest = max(deepest, d)
		if inner != "" {
			return inner, deepest
		}
	}
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	return "", deepest
}

// strictKeys reports whether no key is another spelling of a field's name.
func strictKeys(v any) bool {
	object, ok := v.(map[string]any)
	if !ok {
		return true
	}
	for key := range object {
		for i := range reflect.TypeFor[wire.CreateRequest]().NumField() {
			name, _, _ := strings.Cut(reflect.TypeFor[wire.CreateRequest]().Field(i).Tag.Get("json"), ",")
			if key != name && strings.EqualFold(key, name) {
				return false
			}
		}
	}
	return true
}
