package provisioner_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var errCause = errors.New("connection reset")

func TestClassOf(t *testing.T) {
	lost := provisioner.Errorf(provisioner.Transient, "list containers", "the engine went away: %w", errCause)
	for _, c := range []struct {
		name string
		err  error
		want provisioner.Class
	}{
		{"nil", nil, ""},
		{"a class", lost, provisioner.Transient},
		{"a class, wrapped", fmt.Errorf("sweep: %w", lost), provisioner.Transient},
		{"a class, joined", errors.Join(errCause, lost), provisioner.Transient},
		{"the outer of two", provisioner.Errorf(provisioner.Conflict, "create", "taken: %w", lost), provisioner.Conflict},
		{"cancelled", fmt.Errorf("apply: %w", context.Canceled), provisioner.Cancelled},
		{"out of time", fmt.Errorf("apply: %w", context.DeadlineExceeded), provisioner.Cancelled},
		{"a class over a cancel", provisioner.Errorf(provisioner.Transient, "ping", "no answer: %w", context.DeadlineExceeded), provisioner.Transient},
		{"unknown faults are not retried for ever", errCause, provisioner.Permanent},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := provisioner.ClassOf(c.err); got != c.want {
				t.Errorf("class %q, want %q", got, c.want)
			}
			if c.err != nil && !provisioner.Is(c.err, c.want) {
				t.Errorf("Is says no for %q", c.want)
			}
		})
	}
	if provisioner.Is(nil, "") || provisioner.Is(nil, provisioner.Permanent) {
		t.Error("Is says that nil is an error of a class")
	}
}

func TestErrorTexts(t *testing.T) {
	wrapped := provisioner.Errorf(provisioner.Quota, "make network", "no room: %w", errCause)
	for _, c := range []struct {
		name               string
		err                error
		message, sentenced string
	}{
		{"formatted", wrapped, "make network: no room: connection reset", "no room: connection reset"},
		{"outside", fmt.Errorf("create: %w", wrapped), "create: make network: no room: connection reset", "no room: connection reset"},
		{"only a cause", &provisioner.Error{Class: provisioner.Transient, Op: "ping", Err: errCause}, "ping: connection reset", "ping: connection reset"},
		{"only a class", &provisioner.Error{Class: provisioner.Transient, Op: "ping"}, "ping: transient", "ping: transient"},
		{"no class", errCause, "connection reset", "connection reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.err.Error(); got != c.message {
				t.Errorf("message %q, want %q", got, c.message)
			}
			if got := provisioner.Sentence(c.err); got != c.sentenced {
				t.Errorf("sentence %q, want %q", got, c.sentenced)
			}
		})
	}
	if !errors.Is(wrapped, errCause) {
		t.Error("the cause is lost")
	}
	if provisioner.Sentence(nil) != "" {
		t.Error("nil has a sentence")
	}
}

func TestUnavailable(t *testing.T) {
	away := &provisioner.Error{Class: provisioner.Transient, Op: "ping", Sentence: "the engine is away", Unavailable: true}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false}, {"away", away, true}, {"wrapped", fmt.Errorf("create: %w", away), true},
		{"transient only", provisioner.Errorf(provisioner.Transient, "create", "again"), false}, {"no class", errCause, false},
	} {
		if got := provisioner.IsUnavailable(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
