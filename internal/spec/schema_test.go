package spec_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bothy-env/bothy/internal/spec"
)

// corpus is what both the parser and the schema must agree on. A case is a
// document and whether it is a spec. beyond marks what only the parser can see: how a
// document is written, and a duration's sum.
var corpus = []struct {
	doc    string
	good   bool
	beyond bool
}{
	{doc: "version: 1\n", good: true},
	{doc: "version: 1\nname: a\nblueprint: build\nsize: small\nttl: 1h\nsource: none\nparams: {}\n", good: true},
	{doc: "version: 1\nparams: {a: 1, b: 1.5, c: -1, d: true, e: x, f: '', g: \"1\"}\n", good: true},
	{doc: "version: 1\nname: '2048'\n", good: true},
	{doc: "version: 1\nidle: 15m\nenv: {CI: '1', _x: \"a\\nb\", Path_2: ''}\n", good: true},
	{doc: "version: 1\nenv: {}\n", good: true},
	{doc: "version: 1\nshare: nobody\n", good: true},
	{doc: "version: 1\nshare: team\n", good: true},
	{doc: "version: 1\nshare: tenant\n", good: true},
	{doc: "version: 1\nblueprint: build@1.0.0-rc.1+x\n", good: true},
	{doc: "version: 1\nttl: 1.5d\n", good: true},
	{doc: "version: 1\nttl: 0h1s\n", good: true},
	{doc: "version: 1\nsource: .\n", good: true},
	{doc: "version: 1\nsource: a/b..c/.d\n", good: true},
	{doc: "version: 1\nsource: ./none\n", good: true},
	{doc: "version: 1\nname: " + strings.Repeat("a", 63) + "\n", good: true},
	{doc: "version: 1\nparams: {a: " + strings.Repeat("é", 4096) + "}\n", good: true},
	{doc: "version: 1\nparams: {a: \"x\\ny\"}\n", good: true},

	{doc: "version: 1\nname: a-b\n", good: true},
	{doc: "version: 1\nname: abcdefghijklmno\n", good: true},
	{doc: "version: 1\nsize: s-\n", good: true},
	{doc: "version: 1\nname: web-\n"},
	{doc: "version: 1\nname: abcdefghijklmnop\n"},

	{doc: "{}\n"},
	{doc: "[]\n"},
	{doc: "hello\n"},
	{doc: "version: 0\n"},
	{doc: "version: 2\n"},
	{doc: "version: '1'\n"},
	{doc: "version: 1.5\n"},
	{doc: "version: true\n"},
	{doc: "version: 1\nextra: 1\n"},
	{doc: "version: 1\nname: A\n"},
	{doc: "version: 1\nname: -a\n"},
	{doc: "version: 1\nname: 12\n"},
	{doc: "version: 1\nname: a.b\n"},
	{doc: "version: 1\nname: ''\n"},
	{doc: "version: 1\nname: null\n"},
	{doc: "version: 1\nname:\n"},
	{doc: "version: 1\nname: \"a\\n\"\n"},
	{doc: "version: 1\nname: " + strings.Repeat("a", 64) + "\n"},
	{doc: "version: 1\nblueprint: build@\n"},
	{doc: "version: 1\nblueprint: a/b\n"},
	{doc: "version: 1\nblueprint: a@1@2\n"},
	{doc: "version: 1\nsize: 100\n"},
	{doc: "version: 1\nsize: [small]\n"},
	{doc: "version: 1\nttl: 3600\n"},
	{doc: "version: 1\nttl: 0s\n"},
	{doc: "version: 1\nttl: 0d0.00h\n"},
	{doc: "version: 1\nttl: -1h\n"},
	{doc: "version: 1\nttl: 1h 5m\n"},
	{doc: "version: 1\nttl: 1ms\n"},
	{doc: "version: 1\nttl: ''\n"},
	{doc: "version: 1\nshare: all\n"},
	{doc: "version: 1\nshare: ''\n"},
	{doc: "version: 1\nshare: true\n"},
	{doc: "version: 1\nshare: \"team\\n\"\n"},
	{doc: "version: 1\nidle: 900\n"},
	{doc: "version: 1\nidle: 0m\n"},
	{doc: "version: 1\nenv: []\n"},
	{doc: "version: 1\nenv:\n"},
	{doc: "version: 1\nenv: {CI: 1}\n"},
	{doc: "version: 1\nenv: {CI: true}\n"},
	{doc: "version: 1\nenv: {CI: null}\n"},
	{doc: "version: 1\nenv: {CI: [a]}\n"},
	{doc: "version: 1\nenv: {2x: a}\n"},
	{doc: "version: 1\nenv: {a-b: a}\n"},
	{doc: "version: 1\nenv: {a: \"\\0\"}\n"},
	{doc: "version: 1\nenv: {a: " + strings.Repeat("é", 4097) + "}\n"},
	{doc: "version: 1\nenv: {" + strings.ReplaceAll(manyParams(65), ": 1", ": a") + "}\n"},
	{doc: "version: 1\nparams: []\n"},
	{doc: "version: 1\nparams:\n"},
	{doc: "version: 1\nparams: {a: [1]}\n"},
	{doc: "version: 1\nparams: {a: {b: 1}}\n"},
	{doc: "version: 1\nparams: {a: null}\n"},
	{doc: "version: 1\nparams: {A: 1}\n"},
	{doc: "version: 1\nparams: {a-b: 1}\n"},
	{doc: "version: 1\nparams: {a: \"\\0\"}\n"},
	{doc: "version: 1\nparams: {a: " + strings.Repeat("é", 4097) + "}\n"},
	{doc: "version: 1\nparams: {" + manyParams(101) + "}\n"},
	{doc: "version: 1\nsource: /etc\n"},
	{doc: "version: 1\nsource: ~/x\n"},
	{doc: "version: 1\nsource: ''\n"},
	{doc: "version: 1\nsource: ..\n"},
	{doc: "version: 1\nsource: a/../..\n"},
	{doc: "version: 1\nsource: a\\b\n"},
	{doc: "version: 1\nsource: \"a\\0\"\n"},
	{doc: "version: 1\nsource: " + strings.Repeat("a", 1025) + "\n"},

	{doc: "version: 1\nttl: 367d\n", beyond: true},
	{doc: "version: 1\nttl: 999999999d\n", beyond: true},
	{doc: "version: 1.0\n", beyond: true},
	{doc: "version: 0x1\n", beyond: true},
	{doc: "version: !!int 1\n", beyond: true},
	{doc: "version: 1\nname: &a x\nsize: *a\n", beyond: true},
	{doc: "version: 1\nparams: {a: 010}\n", beyond: true},
	{doc: "version: 1\nparams: {a: True}\n", beyond: true},
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("p" + strings.Repeat("x", i/26) + string(rune('a'+i%26)) + ": 1,")
	}
	return b.String()
}

func TestParserAndSchemaAgree(t *testing.T) {
	schema := compile(t)
	for _, c := range corpus {
		short := c.doc[:min(len(c.doc), 80)]
		if _, err := spec.Parse("bothy.yaml", []byte(c.doc)); (err == nil) != c.good {
			t.Errorf("the parser says %v of %q, want good=%v", err, short, c.good)
		}
		if err := schema.Validate(decode(t, c.doc)); (err == nil) != (c.good || c.beyond) {
			t.Errorf("the schema says %v of %q, want good=%v", err, short, c.good || c.beyond)
		}
	}
}

func TestSchemaDescribesEveryProperty(t *testing.T) {
	var s struct {
		Schema     string `json:"$schema"`
		Properties map[string]struct {
			Description string `json:"description"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(spec.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %q", s.Schema)
	}
	for _, name := range []string{"version", "name", "blueprint", "size", "share", "ttl", "idle", "env", "params", "source"} {
		if s.Properties[name].Description == "" {
			t.Errorf("%s has no description", name)
		}
	}
	if len(s.Properties) != 10 {
		t.Errorf("the schema has %d properties, the parser 10", len(s.Properties))
	}
}

func TestSchemaCannotBeChangedByItsReaders(t *testing.T) {
	spec.Schema()[0] = 'x'
	if on, err := os.ReadFile("schema.json"); err != nil || !bytes.Equal(on, spec.Schema()) {
		t.Errorf("Schema differs from schema.json (%v)", err)
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("spec.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("spec.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// decode reads a document the way an editor's YAML reader does, not the way our parser does.
func decode(t *testing.T, doc string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(doc), &value); err != nil {
		t.Fatalf("decode %q: %v", doc, err)
	}
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("encode %q: %v", doc, err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("decode %q: %v", doc, err)
	}
	return out
}
