package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a condition may take on a busy machine.
const patience = 2 * time.Minute

// await FILE TEXT waits until a file holds a text.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("await: want a file and a text")
	}
	path := ts.MkAbs(args[0])
	if err := until(func() bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(data), args[1])
	}); err != nil {
		ts.Fatalf("await %q in %s: %v", args[1], args[0], err)
	}
}

// until asks again and again, up to patience.
func until(holds func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return nil
		}
	}
	return errors.New("it did not come to hold")
}
