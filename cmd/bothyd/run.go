package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/modules"
)

// run is the daemon's life: open what it owns, serve until ctx ends, then stop
// in order: no more requests, running Terraform within its time, networks, database, lock.
func run(ctx context.Context, cfg config.Config, logger *slog.Logger) (err error) {
	dir, err := openStateDir(cfg.StateDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.close()) }()

	secret, err := dir.secret()
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	instance, err := db.Instance(ctx, engine.NewID())
	if err != nil {
		return err
	}
	catalogue, err := openBlueprints(cfg, dir, logger)
	if err != nil {
		return err
	}
	drv, err := openDriver(cfg, dir, instance, secret, logger)
	if err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
		defer cancel()
		err = errors.Join(err, drv.close(closeCtx))
	}()

	eng, err := engine.New(engine.Config{
		Store: db, Blueprints: catalogue, Driver: drv.driver, Runtime: drv.runtime, Networks: drv.networks,
		Instance: instance, Worker: engine.NewID(), Secret: secret, Logger: logger,
		Concurrency: cfg.Concurrency, ExtraChecks: append(drv.checks, diskCheck(dir.path)),
	})
	if err != nil {
		return err
	}
	server, err := newServer(cfg, eng, logger)
	if err != nil {
		return err
	}
	logger.Info("bothyd starts", "version", version, "instance", instance, "state", dir.path, "socket", cfg.Listen.Unix)
	defer func() { logger.Info("bothyd stops", "error", err) }()
	return serve(ctx, cfg, eng, server)
}

// requestGrace is how long requests that are being answered have when the daemon stops.
const requestGrace = 5 * time.Second

// serve runs the API and the engine until ctx ends or one of them fails. The
// API stops first: what it has promised is recorded, and the engine can finish it.
func serve(ctx context.Context, cfg config.Config, eng *engine.Engine, server *api.Server) error {
	// Before any work is taken: a second daemon's address clash must not disturb environments.
	if err := server.Listen(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()

	served, ran := make(chan error, 1), make(chan error, 1)
	go func() {
		served <- server.Serve(context.WithoutCancel(ctx))
		stop()
	}()
	go func() {
		ran <- eng.Run(engineCtx, cfg.ShutdownTimeout)
		stop()
	}()
	<-ctx.Done()

	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestGrace)
	defer cancel()
	err := server.Shutdown(shutdownCtx)
	stopEngine()
	return errors.Join(err, <-served, <-ran)
}

func newServer(cfg config.Config, eng *engine.Engine, logger *slog.Logger) (*api.Server, error) {
	return api.New(api.Config{
		Socket: cfg.Listen.Unix, TCP: cfg.Listen.TCP, TLSCert: cfg.Listen.TLSCert, TLSKey: cfg.Listen.TLSKey,
		TokenFile: cfg.Listen.TokenFile, AllowedHosts: cfg.Listen.AllowedHosts, Version: version, Logger: logger,
	}, eng)
}

// openBlueprints offers the blueprints that come with bothy and those of the configured folders.
func openBlueprints(cfg config.Config, dir *stateDir, logger *slog.Logger) (*blueprint.Catalogue, error) {
	builtin := dir.join("builtin")
	if err := os.RemoveAll(builtin); err != nil {
		return nil, fmt.Errorf("renew built-in blueprints: %w", err)
	}
	if err := os.CopyFS(builtin, modules.Builtin); err != nil {
		return nil, fmt.Errorf("write built-in blueprints: %w", err)
	}
	entries, err := fs.ReadDir(modules.Builtin, ".")
	if err != nil {
		return nil, fmt.Errorf("list built-in blueprints: %w", err)
	}
	var folders []string
	for _, e := range entries {
		folders = append(folders, dir.join("builtin", e.Name()))
	}
	catalogue, err := blueprint.Open(append(folders, cfg.Blueprints...), dir.join("blueprints"))
	if catalogue != nil && err != nil {
		// One wrong blueprint is not offered; it must not keep leases of the others from ending.
		logger.Error("some blueprints are not offered", "error", err)
		err = nil
	}
	return catalogue, err
}
