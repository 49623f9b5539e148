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
	"github.com/bothy-env/bothy/internal/auth"
	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/poolfile"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/modules"
)

// run is the daemon's life: open what it owns, serve until ctx ends, then stop
// in order: no more requests, running Terraform within its time, networks, database, lock.
func run(ctx context.Context, cfg config.Config, logger *slog.Logger) (err error) {
	tellGoroutines()
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
	instance, known, err := identify(ctx, db, dir)
	if err != nil {
		return err
	}
	daemon, err := dir.daemon()
	if err != nil {
		return err
	}
	people, err := auth.OpenDirectory(cfg.Organisation)
	if err != nil {
		return err
	}
	people.LogTo(logger)
	catalogue, err := openBlueprints(cfg, dir, logger)
	if err != nil {
		return err
	}
	prov, err := openHosts(cfg, dir, instance, secret, logger)
	if err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
		defer cancel()
		err = errors.Join(err, prov.close(closeCtx))
	}()

	eng, err := engine.New(engine.Config{
		Store: db, Blueprints: catalogue, Hosts: prov.hosts,
		Instance: instance, KnownInstance: known, Marks: dir, Advertise: cfg.Advertise, Worker: daemon + "." + engine.NewID(), Secret: secret, Logger: logger,
		Concurrency: cfg.Concurrency, WorkLease: cfg.Timing.WorkLease, SweepEvery: cfg.Timing.Sweep, OrphanGrace: cfg.Timing.OrphanGrace,
		Weights: people.Weights, Pools: poolsOf(cfg), Wall: machineClock(),
		ExtraChecks: append(prov.checks, diskCheck(dir.path), peopleCheck(cfg, people)),
	})
	if err != nil {
		return err
	}
	server, err := newServer(cfg, eng, people, logger)
	if err != nil {
		return err
	}
	logger.Info("bothyd starts", "version", version, "instance", instance, "state", dir.path, "socket", cfg.Listen.Unix)
	defer func() { logger.Info("bothyd stops", "error", err) }()
	return serve(ctx, cfg, eng, server)
}

// poolsOf gives how the platform team's file of pools is read; nil when there is none.
func poolsOf(cfg config.Config) func() ([]fleet.Pool, error) {
	if cfg.Pools == "" {
		return nil
	}
	return poolfile.Open(cfg.Pools).Pools
}

// identify gives the installation's id, and the one that the state directory remembers. A database
// that has none yet, though the directory remembers one, was lost: it gets the same again, so that
// what exists is still known as ours.
func identify(ctx context.Context, db *store.Store, dir *stateDir) (instance, known string, err error) {
	if known, err = dir.installation(); err != nil {
		return "", "", err
	}
	candidate := known
	if candidate == "" {
		candidate = engine.NewID()
	}
	if instance, err = db.Instance(ctx, candidate); err != nil || instance == known {
		return instance, known, err
	}
	return instance, known, dir.replace("instance", "the installation's id", []byte(instance))
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

func newServer(cfg config.Config, eng *engine.Engine, people *auth.Directory, logger *slog.Logger) (*api.Server, error) {
	return api.New(api.Config{
		Socket: cfg.Listen.Unix, SocketGroup: cfg.Listen.UnixGroup, TCP: cfg.Listen.TCP, TLSCert: cfg.Listen.TLSCert, TLSKey: cfg.Listen.TLSKey,
		TokenFile: cfg.Listen.TokenFile, AllowedHosts: cfg.Listen.AllowedHosts, Version: version, People: people, Logger: logger,
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
