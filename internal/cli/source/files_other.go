//go:build !unix

package source

import (
	"errors"
	"io/fs"
	"os"
)

// nonBlocking is nothing here: there are no pipes in folders.
const nonBlocking = 0

// unreadable cannot be told here without opening a file: who reads it finds out.
func unreadable(string) bool { return false }

// hasAttributes and sparseInfo tell of what only file systems of Unix have.
func hasAttributes(string) bool { return false }

func sparseInfo(fs.FileInfo) bool { return false }

func nextData(*os.File, int64) (from, to int64, err error) { return 0, 0, errors.ErrUnsupported }
