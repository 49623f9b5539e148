package spec

import (
	"bytes"
	_ "embed" // for the schema
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of a spec, for editors.
func Schema() []byte { return bytes.Clone(schema) }
