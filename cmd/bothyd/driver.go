package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/fake"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// provider is the set of parts that make and run environments.
type provider struct {
	driver   provisioner.Driver
	runtime  provisioner.Runtime
	networks provisioner.NetworkKeeper
	checks   []func(context.Context) engine.Check
	close    func(context.Context) error
}

func openDriver(cfg config.Config, dir *stateDir, instance string, secret []byte, logger *slog.Logger) (provider, error) {
	key, err := engine.LabelKey(secret)
	if err != nil {
		return provider{}, err
	}
	if cfg.Driver == config.DriverFake {
		logger.Warn("the fake driver is in use: environments are not real")
		world := fake.New(fake.Options{Dir: dir.join("fake"), Key: key, Instance: instance})
		runtime := world.Runtime()
		return provider{driver: world.Driver(), runtime: runtime, networks: runtime, close: runtime.Close}, nil
	}
	spare := cfg.Network.Spare
	if spare == 0 {
		spare = -1 // none; 0 would be the runtime's own default
	}
	runtime, err := docker.New(docker.Config{
		Host: cfg.Engine.Host, Instance: instance, Key: key, Logger: logger,
		Network: docker.NetworkConfig{
			Isolation: cfg.Network.Isolation, Pool: cfg.Network.Pool, Allow: cfg.Network.Allow, Spare: spare,
		},
	})
	if err != nil {
		return provider{}, fmt.Errorf("set up Docker: %w", err)
	}
	driver, err := terraform.New(terraform.Config{
		Binary: cfg.Terraform.Binary, BinDir: filepath.Join(filepath.Dir(cfg.Terraform.Mirror), "bin"),
		Mirror: cfg.Terraform.Mirror, CLIConfig: cfg.Terraform.CLIConfig, Warm: cfg.Terraform.Warm, Timeout: cfg.Terraform.Timeout,
		WorkDir: dir.join("terraform"), EngineHost: cfg.Engine.Host, Logger: logger,
	})
	if err != nil {
		return provider{}, errors.Join(fmt.Errorf("set up Terraform: %w", err), runtime.Close(context.Background()))
	}
	return provider{
		driver: driver, runtime: runtime, networks: runtime,
		checks: []func(context.Context) engine.Check{isolationCheck(runtime)},
		close:  func(ctx context.Context) error { return errors.Join(driver.Close(ctx), runtime.Close(ctx)) },
	}, nil
}
