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
	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/retention"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/engine/worker"
	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
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

	db, err := openStore(ctx, cfg.Database, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	instance, secret, err := identify(ctx, db, dir)
	if err != nil {
		return err
	}
	restored, err := dir.restored()
	if err != nil {
		return err
	}
	if err := dir.reserve.check(); err != nil {
		logger.Error("the disk is full; what is kept back there is used to end leases", "error", err)
	}
	for _, what := range dir.mended {
		logger.Warn("repaired the state directory", "what", what)
	}
	id, err := takeIdentity(ctx, db, dir, logger)
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

	left, err := leftHosts(dir, prov.hosts)
	if err != nil {
		return err
	}

	certificates, err := openCertificates(cfg.Sandbox.CAFile, logger)
	if err != nil {
		return err
	}
	d, err := daemon.New(daemon.Config{
		Store: db, Blueprints: catalogue, Hosts: prov.hosts,
		Instance: instance, Marks: dir, Restored: restored, Began: func() error { return dir.began(instance) },
		Advertise: cfg.Advertise, Secret: secret, Logger: logger,
		Worker: id.worker, Ended: id.ended, Twin: id.twin, NewID: func() error { _, err := dir.renewDaemon(); return err },
		Room:      dir.reserve.check,
		Variables: cfg.Sandbox.Variables(), Certificates: certificates.get,
		Concurrency: cfg.Concurrency, Times: worker.Times{WorkLease: cfg.Timing.WorkLease}, SweepEvery: cfg.Timing.Sweep, OrphanGrace: cfg.Timing.OrphanGrace,
		Retention: retention.Periods(cfg.Retention),
		Weights:   people.Weights, Pools: poolsOf(cfg), Wall: machineClock(), AcceptClock: cfg.Timing.Clock == "machine",
		ExtraChecks: append(prov.checks, diskCheck(dir), peopleCheck(cfg, people), foldersCheck(catalogue), certificates.check), CostlyChecks: prov.costly,
		Left: left,
	})
	if err != nil {
		return err
	}
	server, err := newServer(cfg, instance, d, catalogue, people, logger)
	if err != nil {
		return err
	}
	logger.Info("bothyd starts", "version", version, "instance", instance, "state", dir.path, "socket", cfg.Listen.Unix)
	defer func() { logger.Info("bothyd stops", "error", err) }()
	return serve(ctx, cfg, d, server)
}

// poolsOf gives how the platform team's file of pools is read; nil when there is none.
func poolsOf(cfg config.Config) func() ([]fleet.Pool, error) {
	if cfg.Pools == "" {
		return nil
	}
	return files.OpenPools(cfg.Pools).Pools
}

// openStore opens the database of a state directory. Nothing is written in the folder or the database, no migration either, before
// both were found to belong to the other.
func openStore(ctx context.Context, database string, dir *stateDir) (*store.Store, error) {
	return store.Open(ctx, database, func(ctx context.Context, found *store.Found) error {
		known, err := dir.installation()
		if err != nil {
			return err
		}
		secret, _, err := dir.foundSecret(mayMakeKey(ctx, found, known))
		if err != nil {
			return err
		}
		if secret != nil {
			if err := vault.FitsKey(ctx, found, secret); err != nil {
				return err
			}
		}
		return dir.sameInstallation(known, found.Instance)
	})
}

// mayMakeKey reports whether an installation can have no key yet: neither its folder nor its database knows of one.
func mayMakeKey(ctx context.Context, db vault.Settings, known string) func() (bool, error) {
	return func() (bool, error) {
		used, err := vault.HasKey(ctx, db)
		return known == "" && !used, err
	}
}

// sameInstallation refuses a database of another installation than the folder's. Of one of them nothing may be known yet.
func (d *stateDir) sameInstallation(known, instance string) error {
	if known == "" || instance == "" || known == instance {
		return nil
	}
	return fleet.Errorf(fleet.CodeInvalid, "state directory %s belongs to installation %s, and the database to %s", d.path, known, instance).
		WithHint("use the database of %s, or delete %[3]s to let this daemon join %[2]s", known, instance, d.join("instance"))
}

// identify gives the installation's id and key. What openStore has checked may have come to be since. A database that has no id yet, though the directory remembers one, was lost: it gets
// the same again, so that what exists is still known as ours. A directory of another installation is refused: its note is wrong,
// or the database's address is, and neither is a reason to disturb the other daemons of that database.
func identify(ctx context.Context, db *store.Store, dir *stateDir) (instance string, secret []byte, err error) {
	known, err := dir.installation()
	if err != nil {
		return "", nil, err
	}
	secret, err = dir.secret(mayMakeKey(ctx, db, known))
	if err != nil {
		return "", nil, err
	}
	if err := vault.CheckKey(ctx, db, secret); err != nil {
		return "", nil, err
	}
	candidate := known
	if candidate == "" {
		candidate = daemon.NewID()
	}
	if instance, err = db.Instance(ctx, candidate); err != nil {
		return "", nil, err
	}
	return instance, secret, dir.sameInstallation(known, instance)
}

// requestGrace is how long requests that are being answered have when the daemon stops.
const requestGrace = 5 * time.Second

// serve runs the API and the daemon until ctx ends or one of them fails. The
// API stops first: what it has promised is recorded, and the daemon can finish it.
func serve(ctx context.Context, cfg config.Config, d *daemon.Daemon, server *api.Server) error {
	// Before any work is taken: a second daemon's address clash must not disturb environments.
	if err := server.Listen(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	daemonCtx, stopDaemon := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDaemon()

	served, ran := make(chan error, 1), make(chan error, 1)
	go func() {
		served <- server.Serve(context.WithoutCancel(ctx))
		stop()
	}()
	go func() {
		ran <- d.Run(daemonCtx, cfg.ShutdownTimeout)
		stop()
	}()
	<-ctx.Done()

	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestGrace)
	defer cancel()
	err := server.Shutdown(shutdownCtx)
	stopDaemon()
	return errors.Join(err, <-served, <-ran)
}

func newServer(cfg config.Config, instance string, d *daemon.Daemon, catalogue *blueprint.Catalogue, people *auth.Directory, logger *slog.Logger) (*api.Server, error) {
	return api.New(api.Config{
		Socket: cfg.Listen.Unix, SocketGroup: cfg.Listen.UnixGroup, TCP: cfg.Listen.TCP, TLSCert: cfg.Listen.TLSCert, TLSKey: cfg.Listen.TLSKey,
		TokenFile: cfg.Listen.TokenFile, AllowedHosts: cfg.Listen.AllowedHosts, MaxUpload: int64(cfg.MaxCopyMiB) << 20, MaxStreams: cfg.MaxStreams, Version: version, People: people, Logger: logger,
	}, api.Services{
		Requests: d, Environments: d, Sandboxes: d, Records: d, Blueprints: catalogue, Pools: d.Pools, Quotas: d.Quotas, Costs: d.Costs,
		Orphans: d.Orphans, Hosts: d.Hosts, Brake: d.Brake, Doctor: d.Doctor, Instance: instance, Now: d.Now,
	})
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
	catalogue, err := blueprint.Open(blueprint.Sources{Builtin: folders, Folders: cfg.Blueprints, Overrides: cfg.BlueprintOverrides, Trusted: cfg.TrustedBlueprints}, dir.join("blueprints"))
	if err != nil {
		return nil, err
	}
	// One wrong blueprint is not offered; it must not keep leases of the others from ending.
	for _, r := range catalogue.Refused() {
		logger.Error("cannot load a blueprint", "folder", r.Folder, "error", r.Err)
	}
	for _, o := range catalogue.Overridden() {
		logger.Warn("a directory replaces a built-in blueprint", "blueprint", o.Name, "folder", o.Folder)
	}
	for _, bp := range catalogue.List() {
		if bp.Trusted {
			logger.Warn("a blueprint may exceed the limits of a sandbox", "blueprint", bp.Ref, "digest", bp.Ref.Digest)
		}
	}
	return catalogue, nil
}
