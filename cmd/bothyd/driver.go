package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/fake"
	"github.com/bothy-env/bothy/provisioner/terraform"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// providers are the engine hosts with the parts that make and run environments on them.
type providers struct {
	hosts  []daemon.Host
	checks []func(context.Context) service.Check
	// costly are those that take a while to find out.
	costly []func(context.Context) service.Check
	closes []func(context.Context) error
}

func (p *providers) close(ctx context.Context) error {
	var errs []error
	for _, c := range p.closes {
		errs = append(errs, c(ctx))
	}
	return errors.Join(errs...)
}

// localHost is the name of the only host when no file names any.
const localHost = "local"

// The kinds of targets that there are drivers and runtimes for.
const (
	kindDocker = "docker"
	kindFake   = "fake"
)

// openers set up what acts on a target, by its kind.
var openers = map[string]func(config.Config, *stateDir, string, provisioner.Key, *slog.Logger, *daemon.Host, *providers) error{
	kindDocker: openDocker, kindFake: openFake,
}

// openHosts sets up every host that this daemon can reach.
func openHosts(cfg config.Config, dir *stateDir, instance string, secret []byte, logger *slog.Logger) (*providers, error) {
	key, err := vault.LabelKey(secret)
	if err != nil {
		return nil, err
	}
	declared := []files.Host{{Name: localHost, Endpoint: cfg.Engine.Host}}
	if cfg.Hosts != "" {
		if declared, err = files.LoadHosts(cfg.Hosts); err != nil {
			return nil, err
		}
	}
	if cfg.Driver == config.DriverFake {
		logger.Warn("the fake driver is in use: environments are not real")
	}
	p := &providers{}
	for _, h := range declared {
		host := daemon.Host{Target: provisioner.Target{
			Name: h.Name, Kind: kindDocker, Endpoint: h.Endpoint, Labels: h.Labels, Capacity: provisioner.Capacity(h.Capacity),
		}}
		if cfg.Driver == config.DriverFake {
			host.Kind = kindFake
		}
		if err := openers[host.Kind](cfg, dir, instance, key, logger.With("host", h.Name), &host, p); err != nil {
			return nil, errors.Join(fmt.Errorf("set up host %s: %w", h.Name, err), p.close(context.Background()))
		}
		p.hosts = append(p.hosts, host)
	}
	return p, nil
}

func openFake(_ config.Config, dir *stateDir, instance string, key provisioner.Key, _ *slog.Logger, host *daemon.Host, p *providers) error {
	folder := dir.join("fake")
	if path, ok := strings.CutPrefix(host.Endpoint, "fake://"); ok {
		folder = path
	}
	world := fake.New(fake.Options{Dir: folder, Key: key, Instance: instance})
	runtime := world.Runtime()
	equip(host, world.Driver(), runtime)
	p.closes = append(p.closes, runtime.Close)
	return nil
}

func openDocker(cfg config.Config, dir *stateDir, instance string, key provisioner.Key, logger *slog.Logger, host *daemon.Host, p *providers) error {
	spare := cfg.Network.Spare
	if spare == 0 {
		spare = -1 // none; 0 would be the runtime's own default
	}
	at := dir.foldersOf(host.Name)
	runtime, err := docker.New(docker.Config{
		Host: host.Endpoint, Instance: instance, Key: key, Logger: logger, Sockets: at.sockets, Etcs: at.etcs,
		Network: docker.NetworkConfig{
			Isolation: cfg.Network.Isolation, Pool: cfg.Network.Pool, Allow: cfg.Network.Allow, Spare: spare,
		},
	})
	if err != nil {
		return fmt.Errorf("set up Docker: %w", err)
	}
	p.closes = append(p.closes, runtime.Close)
	p.checks = append(p.checks, engineCheck(runtime), isolationCheck(runtime), removalCheck(runtime))
	p.costly = append(p.costly, limitsCheck(runtime))
	driver, err := terraform.New(terraform.Config{
		Binary: cfg.Terraform.Binary, BinDir: filepath.Join(filepath.Dir(cfg.Terraform.Mirror), "bin"),
		Mirror: cfg.Terraform.Mirror, CLIConfig: cfg.Terraform.CLIConfig, Confinement: confine.Policy(cfg.Terraform.Confinement),
		Warm: cfg.Terraform.Warm, Timeout: cfg.Terraform.Timeout,
		WorkDir: at.work, EngineHost: host.Endpoint, EngineSockets: at.sockets, Logger: logger,
	})
	if err != nil {
		return fmt.Errorf("set up Terraform: %w", err)
	}
	p.checks = append(p.checks, confinementCheck(driver))
	// Before the runtime: what it still runs may need the networks.
	p.closes = append([]func(context.Context) error{driver.Close}, p.closes...)
	equip(host, driver, runtime)
	host.Broker = runtime.Broker()
	return nil
}

// longestSocketFolder leaves room for a socket's name: a socket's path ends at 108 bytes.
const longestSocketFolder = 70

// socketFolder gives a folder for sockets: the one that is wanted, or one in the folder for temporary files when that is too deep,
// under a name of its own that a later process finds again.
func socketFolder(wanted string) string {
	if len(wanted) <= longestSocketFolder {
		return wanted
	}
	sum := sha256.Sum256([]byte(wanted))
	return filepath.Join("/tmp", fmt.Sprintf("bothyd-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])))
}
