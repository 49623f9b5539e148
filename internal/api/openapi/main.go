// Command openapi writes the API's OpenAPI document to a file; go generate runs it.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/bothy-env/bothy/internal/api"
)

func main() {
	out := flag.String("o", "openapi.json", "file to write")
	flag.Parse()
	if err := os.WriteFile(*out, api.OpenAPI(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "cannot write OpenAPI document:", err)
		os.Exit(1)
	}
}
