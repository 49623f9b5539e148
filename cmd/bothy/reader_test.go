package main

import (
	"bufio"
	"os"
	"testing"
)

// TestAFollowerEndsWithItsReader: in `bothy events -f | grep -m1 ready` nothing more may ever come to be written.
func TestAFollowerEndsWithItsReader(t *testing.T) {
	for _, args := range [][]string{{"events", "web", "-f"}, {"events", "-f", "--output", "json"}, {"logs", "web", "-f"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			server.Fate("stuck") // nothing more comes after what there is
			cmd := bothy(t, server, "up", "--name", "web", "--detach", "--source", "none")
			start(t, cmd)
			if code := finish(t, cmd); code != 0 {
				t.Fatalf("exit code of up = %d", code)
			}
			cmd = bothy(t, server, args...)
			var stderr buffer
			out, end, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout, cmd.Stderr = end, &stderr
			start(t, cmd)
			_ = end.Close()
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Errorf("first line %q, %v", line, err)
			}
			_ = out.Close()
			if code := finish(t, cmd); code != 141 || stderr.String() != "" {
				t.Errorf("exit code %d, stderr %q; want 141 and nothing", code, &stderr)
			}
		})
	}
}
