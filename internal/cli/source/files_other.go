//go:build !unix

package source

import (
	"errors"
	"io/fs"
	"os"
)

// nonBlocking is 0 here: directories contain no pipes.
const nonBlocking = 0

// unreadable is always false here: only opening a file shows it.
func unreadable(string) bool { return false }

// hasAttributes and sparseInfo are always false here: only Unix file systems have these features.
func hasAttributes(string) bool { return false }

func sparseInfo(fs.FileInfo) bool { return false }

func nextData(*os.File, int64) (from, to int64, err error) { return 0, 0, errors.ErrUnsupported }
