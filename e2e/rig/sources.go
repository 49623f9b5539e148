package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// sources are what binaries are built from.
var sources = []string{"cmd", "internal", "provisioner", "modules", "e2e", "go.mod", "go.sum"}

// TouchSources looks at every source file of the module, once a process, so that go test sees what a test hangs on that runs the
// go command itself: it does not see what that reads, and would go on showing a cached success after a change. It counts only
// inside of a test.
var TouchSources = sync.OnceValue(func() error {
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(gomod)))
	for _, name := range sources {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				_, err = os.Stat(path)
			}
			if errors.Is(err, fs.ErrNotExist) { // gone since the folder was read
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("look at the sources: %w", err)
		}
	}
	return nil
})
