// Package auth says who asks and what they may do: bearer tokens, and the platform team's file of
// tenants, teams and roles.
package auth

import (
	"fmt"
	"os"

	"github.com/bothy-env/bothy/internal/files"
)

// private refuses a file that others have forbidden rights to, or that is somebody else's.
func private(forbidden os.FileMode) func(os.FileInfo) error {
	return func(info os.FileInfo) error {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", info.Name())
		}
		return files.Guarded(info, forbidden)
	}
}
