//go:build !unix

package env

import (
	"context"

	"github.com/bothy-env/bothy/internal/client"
)

// suspensions never reports anything here: Ctrl-Z does not stop processes.
func suspensions(context.Context) <-chan client.Suspension { return nil }
