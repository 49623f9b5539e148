//go:build !linux

package confine

import (
	"context"
	"errors"
	"os/exec"
)

// Elsewhere than on Linux there is no box, and there are no bounds but those on output.

func (c *Confiner) findBubblewrap(context.Context) (way, string, error) {
	return way{}, "", errors.New("bubblewrap is for Linux")
}

func (c *Confiner) findLandlock(context.Context) (way, string, error) {
	return way{}, "", errors.New("Landlock is for Linux")
}

func (c *Confiner) launchBubblewrap(*Process) error { return errors.New("bubblewrap is for Linux") }

func (c *Confiner) restrictThread(*Process) error { return errors.New("Landlock is for Linux") }

func dieWithUs(*exec.Cmd) {}

func closeOnExec() {}

func setLimits(int, Bounds, *group, bool) error { return nil }

type groups struct{}

type group struct{}

func openGroups(string) *groups { return &groups{} }

func (*groups) make(Bounds) (*group, error) { return nil, nil }

func (*group) add(int) error { return nil }

func (*group) exceeded() string { return "" }

func (*group) remove() error { return nil }
