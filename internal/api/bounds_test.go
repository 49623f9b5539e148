package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
)

// schema is what the document says of a value, as far as its bounds go.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 any
	Format               string
	Enum                 []any
	MaxLength, MaxItems  *int
	MaxProperties        *int
	Items                *schema
	Properties           map[string]*schema
	AdditionalProperties json.RawMessage
}

// unbounded calls found with the place of everything that can be as long as its sender likes.
func (s *schema) unbounded(all map[string]*schema, place string, found func(string)) {
	if s.Ref != "" {
		s = all[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	kind := fmt.Sprint(s.Type) // of one that may be null it is a list
	switch {
	case strings.Contains(kind, "string"):
		if s.MaxLength == nil && len(s.Enum) == 0 && s.Format != "date-time" {
			found(place)
		}
	case strings.Contains(kind, "array"):
		if s.MaxItems == nil {
			found(place)
		}
		s.Items.unbounded(all, place+"[]", found)
	case strings.Contains(kind, "object"):
		if string(s.AdditionalProperties) != "false" {
			if s.MaxProperties == nil {
				found(place)
			}
			var more schema
			if json.Unmarshal(s.AdditionalProperties, &more) == nil && more.Type != nil {
				more.unbounded(all, place+".*", found)
			}
		}
		for name, p := range s.Properties {
			p.unbounded(all, place+"."+name, found)
		}
	}
}

// Every list, map and string that a request may carry has a bound: in bodies, paths, queries, headers and the first message of an exec.
func TestAllThatComesInHasABound(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Schema   schema
			}
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]*schema }
	}
	if err := json.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	places := 0
	fail := func(place string) { t.Errorf("%s has no bound", place) }
	for path, item := range doc.Paths {
		for method, op := range item {
			at := method + " " + path
			for _, p := range op.Parameters {
				places++
				p.Schema.unbounded(doc.Components.Schemas, at+" "+p.In+"."+p.Name, fail)
			}
			if body, ok := op.RequestBody.Content["application/json"]; ok {
				places++
				body.Schema.unbounded(doc.Components.Schemas, at+" body", fail)
			}
		}
	}
	for _, name := range []string{"ExecStart", "ExecSize"} {
		places++
		(&schema{Ref: name}).unbounded(doc.Components.Schemas, name, fail)
	}
	if places < 60 {
		t.Errorf("%d places were looked at", places)
	}
	found := 0
	(&schema{Ref: "Environment"}).unbounded(doc.Components.Schemas, "Environment", func(string) { found++ })
	if found == 0 {
		t.Error("the search finds nothing in a type of answers, which have no bounds")
	}
}

// hostile are bodies that cost a validator much more than they cost their sender.
func hostile() map[string][2]string {
	repeat := func(head, part, tail string, n int) string {
		return head + strings.TrimSuffix(strings.Repeat(part+",", n), ",") + tail
	}
	keys := func(n int, value string) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			fmt.Fprintf(&b, `%q:%s,`, fmt.Sprint("k", i), value)
		}
		return strings.TrimSuffix(b.String(), ",") + "}"
	}
	return map[string][2]string{
		"empty objects in a schedule": {"PUT /v1/pools/x", repeat(`{"blueprint":"b","target":1,"min":0,"surge":0,"pause":false,"schedule":[`, "{}", "]}", 300_000)},
		"numbers in a schedule":       {"PUT /v1/pools/x", repeat(`{"blueprint":"b","target":1,"min":0,"surge":0,"pause":false,"schedule":[`, "1", "]}", 400_000)},
		"numbers as ids":              {"POST /v1/orphans/adopt", repeat(`{"environments":[`, "1", "]}", 400_000)},
		"numbers as variables":        {"POST /v1/environments", `{"vars":` + keys(80_000, "1") + `}`},
		"unknown keys":                {"POST /v1/environments", keys(90_000, "1")},
		"a few less of each":          {"PUT /v1/pools/x", repeat(`{"blueprint":"b","target":1,"min":0,"surge":0,"pause":false,"schedule":[`, "{}", "]}", 3_000)},
		"unknown keys, a few less":    {"POST /v1/environments", keys(990, "1")},
		"deep":                        {"POST /v1/environments", strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)},
		"a string of control letters": {"POST /v1/environments", `{"size":"` + strings.Repeat(`\u0001`, 150_000) + `"}`},
		"a long number":               {"POST /v1/environments", `{"ttl_seconds":` + strings.Repeat("9", 900_000) + `}`},
		"a long name":                 {"POST /v1/environments", `{"name":"` + strings.Repeat("x", 900_000) + `"}`},
		"a long project":              {"POST /v1/environments", `{"project":"` + strings.Repeat("x", 900_000) + `"}`},
		"no JSON":                     {"POST /v1/environments", strings.Repeat("[", 900_000)},
		"a long key":                  {"POST /v1/environments", `{"` + strings.Repeat("x", 900_000) + `":1}`},
	}
}

// A wrong request has a short answer, whatever is in it, and at most 20 places are told.
func TestTheAnswerToAWrongRequestIsShort(t *testing.T) {
	r := start(t, newDouble())
	for name, c := range hostile() {
		method, path, _ := strings.Cut(c[0], " ")
		resp, body := r.raw(method, path, strings.NewReader(c[1]), "Content-Type", "application/json")
		p := problemIn(t, resp, body)
		if resp.StatusCode/100 != 4 || len(body) > 16<<10 || len(p.Errors) > 20 {
			t.Errorf("%s: %d with %d bytes and %d places: %.300s", name, resp.StatusCode, len(body), len(p.Errors), body)
		}
	}
	resp, body := r.raw("GET", "/v1/environments?"+strings.Repeat("state=x&", 1_500), nil)
	if p := problemIn(t, resp, body); resp.StatusCode != 422 || len(p.Errors) != 20 || len(body) > 8<<10 {
		t.Errorf("many states: %d with %d bytes and %d places", resp.StatusCode, len(body), len(p.Errors))
	}
	contains(t, body, "more)")
	resp, body = r.raw("GET", "/v1/environments?"+strings.Repeat("state=x&", 7_500), nil)
	if p := problemIn(t, resp, body); resp.StatusCode != http.StatusRequestURITooLong || p.Code != "invalid" {
		t.Errorf("a long query: %d %+v", resp.StatusCode, p)
	}
	if len(r.engine.requests) != 0 {
		t.Error("the engine was asked")
	}
}

// What is out of the bounds of JSON is refused before the validator sees it: it says so, and tells no places inside.
func TestHostileBodiesAreRefusedUnread(t *testing.T) {
	r := start(t, newDouble())
	bodies := hostile()
	for name, says := range map[string]string{
		"empty objects in a schedule": "more than 10000 brackets", "numbers in a schedule": "more than 10000 brackets", "numbers as ids": "more than 10000 brackets",
		"numbers as variables": "more than 1000 keys", "unknown keys": "more than 1000 keys", "deep": "more than 32 deep", "a long number": "more than 64 digits",
	} {
		method, path, _ := strings.Cut(bodies[name][0], " ")
		resp, body := r.raw(method, path, strings.NewReader(bodies[name][1]), "Content-Type", "application/json")
		if p := problemIn(t, resp, body); resp.StatusCode != 400 || !strings.Contains(p.Detail, says) || len(p.Errors) > 2 {
			t.Errorf("%s: %.400s", name, body)
		}
	}
}

// A key has one spelling and is given once.
func TestJSONIsStrict(t *testing.T) {
	r := start(t, newDouble())
	for body, status := range map[string]int{
		`{"name":"otter"}`:                                201,
		`{"Name":"otter"}`:                                422,
		`{"NAME":"otter"}`:                                422,
		`{"name":"a","name":"b"}`:                         400,
		`{"name":"a","\u006eame":"b"}`:                    400,
		`{"vars":{"A":"1","A":"2"}}`:                      400,
		`{"vars":{"A":"1","a":"2"}}`:                      201,
		`{"name":"a"} {"name":"b"}`:                       400,
		`{"name":"a"}x`:                                   400,
		`{"name":"a",}`:                                   400,
		`{"name":"a` + "\xff" + `"}`:                      400,
		`[1 2]`:                                           400,
		`{"name" "a"}`:                                    400,
		`{"inputs":{"a":1e400}}`:                          400,
		`{"inputs":{"a":[[[[1]]]]}}`:                      201,
		strings.Repeat("[", 40) + strings.Repeat("]", 40): 400,
	} {
		resp, text := r.raw("POST", "/v1/environments", strings.NewReader(body), "Content-Type", "application/json")
		if resp.StatusCode != status {
			t.Errorf("%q: %d, want %d: %s", body, resp.StatusCode, status, text)
		}
		if status == 400 && strings.Contains(text, "otter") {
			t.Errorf("%q: repeats it: %s", body, text)
		}
	}
}

// What may be repeated of a wrong value is a list of places. None holds a secret.
func TestErrorsRepeatNoSecrets(t *testing.T) {
	const canary = "ZQCANARY"
	r := start(t, newDouble())
	n := 0
	check := func(what, text string) {
		t.Helper()
		n++
		if strings.Contains(text, canary) || strings.Contains(r.log.String(), canary) {
			t.Errorf("%s is repeated: %.300s\nlog: %.300s", what, text, r.log)
		}
	}
	for _, path := range []string{"/v1/environments", "/v1/quote"} {
		for _, body := range []string{
			`{"secrets":{"TOKEN":"ZQCANARY01!!"}}`, `{"secrets":{"TOKEN":["ZQCANARY02"]}}`, `{"secrets":"ZQCANARY03"}`, `{"secrets":["ZQCANARY04"]}`, `{"secrets":{"T":{"a":"ZQCANARY05"}}}`,
			`{"vars":"ZQCANARY06"}`, `{"vars":["ZQCANARY07"]}`, `{"size":"small","secrets":{"TOKEN":"ZQCANARY08"} x`, `"ZQCANARY09"`, `ZQCANARY10`, `{"project":{"a":"ZQCANARY11"}}`,
			`{"project":"ZQCANARY12` + strings.Repeat("x", 300) + `"}`, `{"inputs":"ZQCANARY13"}`, `{"pull_request":["ZQCANARY14"]}`, `{"vars":{"A":["ZQCANARY15"]}}`, `{"nope":"ZQCANARY16"}`,
			`{"secrets":{"A":"ZQCANARY17","A":"ZQCANARY17"}}`, `{"secrets":{"A":"ZQCANARY18` + "\xff" + `"}}`, `["ZQCANARY19"]`, `{"ttl_seconds":{"a":"ZQCANARY20"}}`,
		} {
			resp, text := r.raw("POST", path, strings.NewReader(body), "Content-Type", "application/json")
			if resp.StatusCode/100 != 4 {
				t.Errorf("%s: %d", body, resp.StatusCode)
			}
			check(body, text)
		}
	}
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/x-tar"} {
		resp, text := r.raw("POST", "/v1/environments", strings.NewReader("secrets=ZQCANARY21"), "Content-Type", kind)
		if resp.StatusCode/100 != 4 {
			t.Errorf("%s: %d", kind, resp.StatusCode)
		}
		check(kind, text)
	}
	_, text := r.raw("POST", "/v1/environments", strings.NewReader("{}"), "Content-Type", "application/json", "Idempotency-Key", canary+strings.Repeat("k", 300))
	check("a key", text)
	for _, first := range []string{`{"env":"ZQCANARY22"}`, `{"command":["a"],"env":["A=ZQCANARY23"] x`, `{"command":"ZQCANARY24"}`, `{"command":["a"],"env":[{"a":"ZQCANARY25"}]}`, `{"command":["a"],"tty":"ZQCANARY26"}`} {
		check(first, firstAnswer(t, r, first))
	}
	if n < 29 {
		t.Errorf("%d canaries", n)
	}
	// What is safe is still repeated.
	if _, text := r.raw("POST", "/v1/environments", strings.NewReader(`{"ttl_seconds":"1h"}`), "Content-Type", "application/json"); !strings.Contains(text, `"1h"`) {
		t.Errorf("a wrong time is not repeated: %s", text)
	}
}

// firstAnswer opens an exec with a first message and gives the problem of its last one.
func firstAnswer(t *testing.T, r *rig, first string) string {
	t.Helper()
	conn := r.speak()
	if err := conn.text(first); err != nil {
		t.Fatal(err)
	}
	_, msg, err := conn.Read(conn.ctx)
	if err != nil || len(msg) == 0 || msg[0] != wire.ExecExit {
		t.Fatalf("%q, %v", msg, err)
	}
	var result wire.ExecResult
	if err := json.Unmarshal(msg[1:], &result); err != nil || result.Problem == nil {
		t.Errorf("%s: %s, %v", first, msg, err)
	}
	return string(msg)
}
