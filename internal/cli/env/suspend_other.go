//go:build !unix

package env

import (
	"context"

	"github.com/bothy-env/bothy/internal/client"
)

// suspensions tells nothing here: there is no Ctrl-Z that stops a process.
func suspensions(context.Context) <-chan client.Suspension { return nil }
