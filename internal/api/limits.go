package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// inner are bounds that a field's tags cannot say: of a list's items and a map's values, in characters.
var inner = []struct {
	of       reflect.Type
	property string
	most     int
}{
	{reflect.TypeFor[wire.CreateRequest](), "vars", 32 << 10},
	// In base64, what all secrets of a request may hold.
	{reflect.TypeFor[wire.CreateRequest](), "secrets", 700_000},
	{reflect.TypeFor[wire.OrphanRequest](), "environments", 100},
	{reflect.TypeFor[wire.Limits](), "blueprints", 100},
	{reflect.TypeFor[wire.Limits](), "sizes", 100},
	// The longest single argument that Linux takes.
	{reflect.TypeFor[wire.ExecStart](), "command", 128 << 10},
	{reflect.TypeFor[wire.ExecStart](), "env", 128 << 10},
}

// bound puts the inner bounds into the schemas.
func bound(api huma.API) {
	schemas := api.OpenAPI().Components.Schemas
	for _, in := range inner {
		s := schemas.SchemaFromRef(schemas.Schema(in.of, true, "").Ref)
		p := s.Properties[in.property]
		of := p.Items
		if more, ok := p.AdditionalProperties.(*huma.Schema); ok {
			of = more
		}
		of.MaxLength = &in.most
		of.PrecomputeMessages()
	}
}

// decode reads a JSON value of a type that a schema describes, by the rules of request bodies.
func decode[T any](api huma.API, data []byte) (value T, err error) {
	var any any
	if err := decodeJSON(data, &any); err != nil {
		return value, err
	}
	schemas := api.OpenAPI().Components.Schemas
	var result huma.ValidateResult
	huma.Validate(schemas, schemas.Schema(reflect.TypeFor[T](), true, ""), huma.NewPathBuffer([]byte("body"), 4), huma.ModeWriteToServer, any, &result)
	if len(result.Errors) > 0 {
		return value, humaProblem(422, "", result.Errors)
	}
	err = decodeJSON(data, &value)
	return value, err
}
