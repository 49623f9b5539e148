package api_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api"
)

func TestTheOpenAPIDocumentIsUpToDate(t *testing.T) {
	golden, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(string(api.OpenAPI()), "\n")); diff != "" {
		t.Errorf("openapi.json is old: run go generate ./internal/api (-file +now):\n%s", diff)
	}
	if resp, body := start(t, newDouble()).raw("GET", "/openapi.json", nil); resp.StatusCode != 200 || body != string(golden) {
		t.Errorf("what is served (status %d) is not the document", resp.StatusCode)
	}
}

// described is what the document says of itself, as far as it matters here.
type described struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID, Summary string
		Parameters           []struct{ Name, Description string }
		Responses            map[string]struct {
			Description string
			Content     map[string]json.RawMessage
		}
	}
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Ref         string `json:"$ref"`
				Description string
			}
		}
	}
}

func TestTheOpenAPIDocumentDescribesEverything(t *testing.T) {
	var doc described
	if err := json.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("version %s", doc.OpenAPI)
	}
	operations := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			operations++
			if op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s has no id or no summary", method, path)
			}
			for _, p := range op.Parameters {
				if p.Description == "" && p.Name != "limit" {
					t.Errorf("%s %s: parameter %s has no description", method, path, p.Name)
				}
			}
			problems := 0
			for status, resp := range op.Responses {
				if _, ok := resp.Content["application/problem+json"]; ok {
					problems++
				}
				if resp.Description == "" {
					t.Errorf("%s %s: status %s has no description", method, path, status)
				}
			}
			if problems == 0 {
				t.Errorf("%s %s tells no errors", method, path)
			}
		}
	}
	if operations < 17 {
		t.Errorf("%d operations", operations)
	}
	for name, schema := range doc.Components.Schemas {
		for property, p := range schema.Properties {
			if p.Description == "" && p.Ref == "" {
				t.Errorf("%s.%s has no description", name, property)
			}
		}
	}
}
