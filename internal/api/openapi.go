package api

//go:generate go run ./openapi -o openapi.json

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/danielgtaylor/huma/v2"
)

// OpenAPI gives the API's OpenAPI 3.1 document, as it is served at /openapi.json.
func OpenAPI() []byte {
	s := &Server{log: slog.Default(), turns: newTurns()}
	_, api := s.routes()
	return openAPI(api)
}

func openAPI(api huma.API) []byte {
	document, err := json.MarshalIndent(api.OpenAPI(), "", "  ")
	if err != nil {
		panic(fmt.Sprintf("encode OpenAPI document: %v", err)) // The routes are fixed: any test sees it.
	}
	return append(document, '\n')
}
