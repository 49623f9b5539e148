package terraform

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// What one box may take: several times what a create of the built-in blueprint does. What nears these bounds is an attack or a fault.
const (
	// defaultMemory: prepare, create and destroy of the built-in blueprint, with a provider of Terraform's own or a warm one, succeed with
	// 160 MiB and fail with 128 (Terraform 1.11.4, provider 4.6.0).
	defaultMemory = 1 << 30
	// defaultCPU: they take under a second.
	defaultCPU = 2 * time.Minute
	tasksBound = 512
	// fileBound is for a state, or a plugin's log; a provider that init unpacks is 108 MB.
	fileBound     = 64 << 20
	initFileBound = 1 << 30
	openFiles     = 1024
	// outputBound: an apply of the built-in blueprint prints 8 kB.
	outputBound = 16 << 20
)

func (d *Driver) bounds() confine.Bounds { return boundsOf(d.cfg) }

func boundsOf(cfg Config) confine.Bounds {
	return confine.Bounds{
		Memory: cfg.Memory, CPU: cfg.CPU, Tasks: tasksBound, FileSize: fileBound, OpenFiles: openFiles, Output: outputBound,
	}
}

// Confinement tells how Terraform and its providers are boxed ("bubblewrap", "landlock", "none"), and what of a
// whole box does not hold; "" for nothing.
func (d *Driver) Confinement(ctx context.Context) (mode, missing string) {
	m, missing := d.box.Mode(ctx)
	var lacks []string
	if missing != "" {
		lacks = append(lacks, missing)
	}
	if d.cfg.CLIConfig != "" {
		lacks = append(lacks, fmt.Sprintf("%s may name other sources of providers, and init has the network", d.cfg.CLIConfig))
	}
	if _, network := reach(d.engineOf("")); network && d.cfg.EngineSockets == "" {
		lacks = append(lacks, fmt.Sprintf("providers have the machine's network, since the engine is at %s", d.cfg.EngineHost))
	}
	return string(m), strings.Join(lacks, "; ")
}

// engineOf is where a provider reaches the engine: an environment's broker, or the driver's own setting.
func (d *Driver) engineOf(broker string) string {
	if broker != "" {
		return broker
	}
	return d.cfg.EngineHost
}

// reach is what a box needs for an engine's address: the path of its socket, or the network.
func reach(engine string) (path string, network bool) {
	if path, ok := strings.CutPrefix(engine, "unix://"); ok {
		return path, false
	}
	return "", true
}

// withEngine lets a box reach an engine.
func withEngine(b *confine.Box, engine string) {
	path, network := reach(engine)
	if network {
		b.Network = true
	} else {
		b.Read = append(b.Read, path)
	}
}

// providerBox is a warm provider's: it serves one environment after another, so it reaches the folder of all their
// brokers' sockets, whose names cannot be guessed.
func providerBox(cfg Config, want provider, dir string) confine.Box {
	b := confine.Box{Path: want.Binary, Args: []string{"-debug"}, Dir: dir, Write: []string{dir}, Bounds: boundsOf(cfg)}
	// What it prints over its life is not of one piece of work; it is read and dropped.
	b.Bounds.Output = 0
	b.Bounds.CPU *= time.Duration(cfg.WarmLimits.Uses)
	if cfg.EngineSockets != "" {
		b.Read = append(b.Read, cfg.EngineSockets)
	} else {
		withEngine(&b, cfg.EngineHost)
	}
	return b
}

// warmReaches tells whether a warm provider's box can reach the engine of a piece of work.
func (d *Driver) warmReaches(spec provisioner.Spec) bool {
	if d.cfg.EngineSockets == "" {
		return spec.Sandbox.Engine == "" || spec.Sandbox.Engine == d.cfg.EngineHost
	}
	path, network := reach(spec.Sandbox.Engine)
	return !network && filepath.Dir(path) == filepath.Clean(d.cfg.EngineSockets)
}
