package spec

import (
	"bytes"
	_ "embed" // for the schema
)

//go:embed schema.json
var schema []byte

// Schema gives the JSON Schema (draft 2020-12) of a spec, which editors complete and check with.
func Schema() []byte { return bytes.Clone(schema) }
