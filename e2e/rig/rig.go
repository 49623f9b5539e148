// Package rig is what the programs and tests that start real binaries share.
package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// CacheDir is where setup puts what it makes: providers in mirror, a Terraform in bin, roots of other engines in engines.
func CacheDir() string {
	for _, dir := range []string{os.Getenv("BOTHY_CACHE"), filepath.Join(os.Getenv("XDG_CACHE_HOME"), "bothy")} {
		if filepath.IsAbs(dir) {
			return dir
		}
	}
	return filepath.Join(os.Getenv("HOME"), ".cache", "bothy")
}

// CleanEnv is this process's environment without settings of bothy or Terraform, except for the cache that setup made.
func CleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if name == "BOTHY_CACHE" || !strings.HasPrefix(name, "BOTHY_") && !strings.HasPrefix(name, "TF_") {
			env = append(env, kv)
		}
	}
	return env
}

// InFolder calls run with a new folder, which is removed after it, and gives run's exit code; 1 when there is no folder.
func InFolder(pattern string, run func(dir string) int) int {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return run(dir)
}
