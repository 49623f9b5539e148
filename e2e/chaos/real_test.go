package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// TestRealKillPoints is TestKillPoints with Docker and Terraform: the daemon dies around every call of driver and runtime.
func TestRealKillPoints(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the Docker engine and Terraform; left out by -short")
	}
	chance := seeded(t)
	var points []point
	for _, p := range golden(t, setup{real: true}) {
		room, _, _ := strings.Cut(p.name, "/")
		if room != "store" && room != "file" {
			points = append(points, p)
		}
	}
	t.Logf("the script reaches %d points around driver and runtime", len(points))
	if !*long {
		chance.Shuffle(len(points), func(i, k int) { points[i], points[k] = points[k], points[i] })
		points = points[:min(4, len(points))]
	}
	killAll(t, points, setup{real: true})
}

// TestRealRandomKills: the daemon dies at moments that a seed draws, while real environments are made and removed.
func TestRealRandomKills(t *testing.T) {
	if !*long {
		t.Skip("takes minutes: part of make chaos")
	}
	chance := seeded(t)
	h := mustHouse(t, setup{real: true, daemons: 1})
	s := &script{h: h}
	if err := s.fillPools(t.Context()); err != nil {
		t.Fatal(err)
	}
	load := startLoad(t.Context(), h, 2, chance)
	const kills = 30
	for range kills {
		time.Sleep(time.Duration(500+chance.IntN(4000)) * time.Millisecond)
		if err := h.daemons[0].signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	load.end(t, s)
	t.Logf("%d kills, %d requests were acknowledged", h.killed(), len(s.orders))
	s.mustSettle(t)
}

// exists lists everything that the provider holds of this installation, without any code of bothy's where that is Docker.
func (h *house) exists(ctx context.Context) ([]provisioner.Found, error) {
	if !h.real {
		return h.world.All()
	}
	var all []provisioner.Found
	for kind, list := range map[string][]string{"container": {"ps", "-a"}, "network": {"network", "ls"}, "volume": {"volume", "ls"}} {
		name := "{{.Name}}"
		if kind == "container" {
			name = "{{.Names}}"
		}
		format := name + " {{.Label \"" + provisioner.LabelEnvironment + "\"}}"
		text, err := docker(ctx, append(list, "--filter", "label="+provisioner.LabelInstance+"="+h.instance, "--format", format)...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			name, environment, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name != "" {
				all = append(all, provisioner.Found{
					Ref: provisioner.Ref{Kind: kind, Name: name}, Labels: map[string]string{provisioner.LabelEnvironment: environment},
				})
			}
		}
	}
	return all, nil
}

func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// vacate lets the daemon take its real environments away, and removes and reports what it leaves.
func (h *house) vacate(ctx context.Context) error {
	if !h.real || h.instance == "" {
		return nil
	}
	err := errors.Join(h.setPool(ctx, "running", "small", 0, false), h.releaseAll(ctx))
	return errors.Join(err, until(ctx, "all is given back", func() (bool, string, error) {
		live, err := h.live(ctx)
		return err == nil && len(live) == 0, describe(live), err
	}))
}

// sweep removes and reports what a stopped daemon left at Docker.
func (h *house) sweep(ctx context.Context) error {
	if !h.real || h.instance == "" {
		return nil
	}
	left, err := h.exists(ctx)
	for _, f := range left {
		err = errors.Join(err, fmt.Errorf("%s %s was left by a daemon that was stopped", f.Kind, f.Name))
		remove := map[string][]string{"container": {"rm", "-fv"}, "network": {"network", "rm"}, "volume": {"volume", "rm", "-f"}}[f.Kind]
		_, e := docker(ctx, append(remove, f.Name)...)
		err = errors.Join(err, e)
	}
	if len(left) > 0 {
		err = errors.Join(err, errors.New(h.logs()))
	}
	return err
}
