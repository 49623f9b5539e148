package warmpool

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// handOverTimeout bounds the hand-over of one warm environment; it must be done well within a work lease.
	handOverTimeout = 8 * time.Second
	// sessionTimeout bounds the delivery through a session that is open, so that there is time for a new one.
	sessionTimeout = 3 * time.Second
)

// HandOver proves that a claimed environment works and puts its holder's secrets in place. Nothing of it is a
// create: on any error the environment is bad, and another one is taken.
func (k *Keeper) HandOver(ctx context.Context, env fleet.Environment, files []provisioner.File) error {
	if err := madeAsAsked(env); err != nil {
		return err
	}
	h, err := k.cfg.Hosts.Host(env.Host)
	if err != nil {
		return err
	}
	// Whoever asked may go away; what is begun is still finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOverTimeout)
	defer cancel()
	m := k.members.at(env.ID, env.Host)
	m.mu.Lock()
	defer m.mu.Unlock()
	defer k.members.forget(env.ID, m)
	if env.Paused {
		if err := target.Thaw(ctx, h, env.SandboxID); err != nil {
			return err
		}
	}
	if session := m.session; session != nil {
		m.session = nil
		err := deliverReady(ctx, session, claimOf(env), files)
		if err == nil || errors.Is(err, provisioner.ErrUsed) {
			return err
		}
		k.cfg.Logger.Warn("an exec session was lost; the environment is looked at afresh", "environment", env.ID, "error", err)
	}
	return k.deliver(ctx, h, env, claimOf(env), files)
}

// claimOf names one claim of an environment, in what it leaves on the sandbox: the same each time that it is tried, and never
// that of another claim.
func claimOf(env fleet.Environment) string {
	return fmt.Sprintf("claim-%s-%d", env.ID, env.Lease.Start.UnixMicro())
}

// madeAsAsked checks that an environment was made from what its key stands for.
func madeAsAsked(env fleet.Environment) error {
	key, err := fleet.MatchKey(env.Blueprint.Digest, env.Size.Name, env.Inputs)
	if err == nil && key != env.MatchKey {
		err = provisioner.Errorf(provisioner.Permanent, "check environment", "it was not made from what was asked for")
	}
	return err
}

func deliverReady(ctx context.Context, session provisioner.Stage, claim string, files []provisioner.File) error {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	return session.Claim(ctx, claim, files)
}

// Deliver proves that a sandbox works and puts files into its secrets folder, with nothing prepared.
func (k *Keeper) Deliver(ctx context.Context, h *target.Host, env fleet.Environment, files []provisioner.File) error {
	return k.deliver(ctx, h, env, "", files)
}

// deliver leaves a claim, if there is one, on the sandbox; ErrUsed: it was used before.
func (k *Keeper) deliver(ctx context.Context, h *target.Host, env fleet.Environment, claim string, files []provisioner.File) error {
	if _, err := target.Healthy(ctx, h, env.SandboxID); err != nil {
		return err
	}
	user := env.Users[0]
	if stager, ok := provisioner.Can[provisioner.Stager](h.Runtime); ok {
		session, err := stager.Stage(ctx, env.SandboxID, user)
		if err != nil {
			return fmt.Errorf("open a way into the sandbox: %w", err)
		}
		deliver := session.Deliver
		if claim != "" {
			deliver = func(ctx context.Context, files []provisioner.File) error { return session.Claim(ctx, claim, files) }
		}
		if err := deliver(ctx, files); err != nil {
			return fmt.Errorf("deliver secrets: %w", err)
		}
		return nil
	}
	archive, err := tarOf(files)
	if err != nil {
		return err
	}
	// Unpacking runs inside, so that it proves as much as it delivers, also with nothing to unpack.
	if err := h.Runtime.CopyTo(ctx, env.SandboxID, provisioner.SecretsDir, user, archive); err != nil {
		return fmt.Errorf("deliver secrets: %w", err)
	}
	return nil
}

func tarOf(files []provisioner.File) (*bytes.Buffer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: int64(f.Mode), Size: int64(len(f.Data))}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack secrets: %w", err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("pack secrets: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack secrets: %w", err)
	}
	return &buf, nil
}
