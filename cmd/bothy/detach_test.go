package main

import (
	"strings"
	"testing"
)

// TestExecDetachSaysHowToSeeIt: a detached command's start prints its process, how to follow it and how to end it; as JSON,
// the same in fields. It is given neither a terminal nor input.
func TestExecDetachSaysHowToSeeIt(t *testing.T) {
	server := startServer(t)
	if err := server.Add("web", "leased"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"exec", "-d", "web", "--", "make"}, 0, []string{"process 42", "bothy exec web -- tail -n +1 -f /tmp/bothy-exec-x.log", "kill -- -42"}},
		{[]string{"exec", "-o", "json", "-d", "web", "--", "make"}, 0, []string{`"process": 42`, `"output": "/tmp/bothy-exec-x.log"`}},
		{[]string{"exec", "-d", "-t", "web", "--", "make"}, 2, nil},
		{[]string{"exec", "-d", "-i", "web", "--", "make"}, 2, nil},
	} {
		cmd := bothy(t, server, c.args...)
		var stdout buffer
		cmd.Stdout = &stdout
		start(t, cmd)
		if code := finish(t, cmd); code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%q: %q does not say %q", c.args, &stdout, want)
			}
		}
	}
}
