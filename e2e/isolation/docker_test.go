//go:build linux

package isolation_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

// image is what controls run in: the sandboxes' own, so that the wall is the only difference.
const image = "bothy/build"

// labelled lists the engine's objects with a label: containers by id, the others by name.
func labelled(t *testing.T, kind, label string) []string {
	t.Helper()
	args := map[string][]string{
		"container": {"ps", "-aq", "--no-trunc"}, "network": {"network", "ls", "--format", "{{.Name}}"}, "volume": {"volume", "ls", "-q"},
	}[kind]
	out, err := command("docker", append(args, "--filter", "label="+label)...)
	if err != nil {
		t.Errorf("ask the engine: %v", err)
	}
	return strings.Fields(out)
}

func remove(t *testing.T, kind, name string) {
	t.Helper()
	args := map[string][]string{"container": {"rm", "-fv"}, "network": {"network", "rm"}, "volume": {"volume", "rm", "-f"}}[kind]
	if _, err := command("docker", append(args, name)...); err != nil {
		t.Errorf("clean up: %v", err)
	}
}

// gatewayOf is the host's own address on a network.
func gatewayOf(t *testing.T, network string) string {
	t.Helper()
	config := strings.Fields(must(t, "docker", "network", "inspect", "-f", "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}} {{end}}", network))
	if len(config) == 2 {
		return strings.Split(config[0], "/")[0]
	}
	if len(config) == 1 { // the engine has no gateway's address to tell: it is the first
		return netip.MustParsePrefix(config[0]).Masked().Addr().Next().String()
	}
	t.Fatalf("network %s has the ranges %v, want one", network, config)
	return ""
}

// hole is what a control container is open for, as arguments of docker run.
type hole struct {
	name string
	args []string
}

// box is a control container.
type box struct{ id string }

// dig starts a control container with a hole, labelled for the test. Should the test be killed, it ends by itself.
func dig(t *testing.T, label string, h hole) (box, error) {
	t.Helper()
	args := append([]string{"run", "-d", "--rm", "--label", label, "-v", probePath() + ":" + inside + ":ro", "-u", "0", "-w", "/", "--entrypoint", inside}, h.args...)
	id, err := command("docker", append(args, image, "wait")...)
	if err != nil {
		return box{}, err
	}
	lines := strings.Fields(id)
	return box{id: lines[len(lines)-1]}, nil
}

// try makes attempts in the control container, and gives what the probe said of each.
func (b box) try(user, dir string, attempts []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", "exec", "-i", "-u", user, "-w", dir, b.id, inside)
	cmd.Stdin = strings.NewReader(strings.Join(attempts, "\n"))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("probe as %s: %w: %s", user, err, out)
	}
	return answers(string(out), len(attempts))
}

// try makes attempts in the sandbox, by its owner's own means.
func (s sandbox) try(user, dir string, attempts []string) ([]string, error) {
	r := s.d.bothy(strings.Join(attempts, "\n"), "exec", s.name, "-u", user, "-w", dir, "--", inside)
	if r.code != 0 {
		return nil, fmt.Errorf("probe as %s: %s", user, r)
	}
	return answers(r.out, len(attempts))
}

func answers(out string, n int) ([]string, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != n {
		return nil, fmt.Errorf("the probe gave %d answers, want %d: %.500s", len(lines), n, out)
	}
	return lines, nil
}
