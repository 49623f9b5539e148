package fake

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"sync/atomic"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Stager = (*Runtime)(nil)

const (
	opStage   = "stage sandbox"
	opDeliver = "deliver files"
	// stageCommand is how a waiting stage shows among a sandbox's processes.
	stageCommand = "sh bothy-stage"
	// secretsRoom is the size of SecretsDir, in bytes.
	secretsRoom = 1 << 20
)

// stage is a way into a sandbox. It is this process's own, as a connection is, on a shared folder too.
type stage struct {
	w             *World
	id, user, env string
	process       int64
	used          atomic.Bool
	filled        bool
	open          context.Context // ends with Close
	end           context.CancelFunc
}

// Stage opens a way into a running sandbox.
func (r *Runtime) Stage(ctx context.Context, id, user string) (provisioner.Stage, error) {
	if err := r.w.undeclared(opStage, r.w.like.can.Stage); err != nil {
		return nil, err
	}
	if user == "" {
		user = imageUser
	}
	s := &stage{w: r.w, id: id, user: user, env: r.w.environmentOf(id)}
	err := r.w.simple(ctx, OpStage, s.env, func() error {
		c, err := r.w.container(opStage, id)
		if err == nil {
			err = c.Sandbox.mayStage(user)
			s.filled = c.Sandbox.files().filled()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.open, s.end = context.WithCancel(context.Background())
	s.process = r.w.enter(id, stageCommand)
	r.w.countStages(1)
	return s, nil
}

// mayStage reports whether a stage can wait in a sandbox for a user.
func (s *sandbox) mayStage(user string) error {
	_, dir, ok := s.files().get(provisioner.SecretsDir)
	switch {
	case !s.Status.Running:
		return provisioner.Errorf(provisioner.Conflict, opStage, "the sandbox is not running")
	case user != "root" && user != imageUser:
		return provisioner.Errorf(provisioner.Permanent, opStage, "the sandbox has no user %q", user)
	case !ok:
		return provisioner.Errorf(provisioner.Permanent, opStage, "the sandbox has no folder %s", provisioner.SecretsDir)
	case !dir.may(user, 2):
		return provisioner.Errorf(provisioner.Denied, opStage, "user %q may not write to %s", user, provisioner.SecretsDir)
	}
	return nil
}

// Used reports whether SecretsDir was not empty when the way was opened.
func (s *stage) Used() bool { return s.filled }

// Deliver writes the files in one transaction.
func (s *stage) Deliver(ctx context.Context, files []provisioner.File) error {
	return s.use(ctx, "", files)
}

// Claim is Deliver into an empty folder, or into one that was claimed with the same words.
func (s *stage) Claim(ctx context.Context, claim string, files []provisioner.File) error {
	if err := provisioner.CheckClaim(claim); err != nil {
		return err
	}
	return s.use(ctx, claim, files)
}

func (s *stage) use(ctx context.Context, claim string, files []provisioner.File) error {
	if !s.used.CompareAndSwap(false, true) {
		return provisioner.Errorf(provisioner.NotFound, opDeliver, "this way into the sandbox was used or closed before")
	}
	defer s.leave()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.open, stop)()
	err := s.deliver(ctx, claim, files)
	if s.open.Err() != nil && provisioner.Is(err, provisioner.Cancelled) {
		return provisioner.Errorf(provisioner.NotFound, opDeliver, "this way into the sandbox was closed")
	}
	return err
}

func (s *stage) deliver(ctx context.Context, claim string, files []provisioner.File) error {
	if err := s.w.begin(ctx, OpDeliver); err != nil {
		return err
	}
	if err := s.w.reach(ctx, OpDeliver, s.env, Before, nil); err != nil {
		return err
	}
	if err := provisioner.CheckFiles(files); err != nil {
		return err
	}
	err := s.w.await(ctx, func() (bool, error) { return s.put(claim, files) })
	if ctx.Err() != nil && err != nil {
		return cancelled(OpDeliver, err)
	}
	if err != nil {
		return err
	}
	return s.w.reach(ctx, OpDeliver, s.env, After, nil)
}

// put writes the files, or reports that the sandbox is frozen. Within tx.
func (s *stage) put(claim string, files []provisioner.File) (done bool, err error) {
	c, err := s.w.container(opDeliver, s.id)
	switch {
	case err != nil:
		return false, err
	case c.Sandbox.ended():
		return false, provisioner.Errorf(provisioner.NotFound, opDeliver, "the sandbox has ended")
	case c.Sandbox.Status.Paused:
		return false, nil
	case claim == "" && len(files) == 0:
		return true, nil
	}
	all, size := c.Sandbox.own(), 0
	if at := path.Join(provisioner.SecretsDir, provisioner.ClaimFile); claim != "" && string(all[at].Data) != claim+"\n" {
		if all.filled() {
			return false, provisioner.NewUsed(opDeliver)
		}
		all[at] = node{Mode: 0o444, User: s.user, Data: []byte(claim + "\n")}
	}
	for _, f := range files {
		size += len(f.Data) - len(all[secretPath(f)].Data)
	}
	for _, p := range all.below(provisioner.SecretsDir) {
		size += len(all[p].Data)
	}
	if size > secretsRoom {
		return false, provisioner.Errorf(provisioner.Quota, opDeliver, "no space left in %s", provisioner.SecretsDir)
	}
	for _, f := range files {
		all[secretPath(f)] = node{Mode: fs.FileMode(f.Mode), User: s.user, Data: slices.Clone(f.Data)}
	}
	return true, s.w.resources.put(s.id, c)
}

// filled reports whether SecretsDir holds anything.
func (t tree) filled() bool { return len(t.below(provisioner.SecretsDir)) > 1 } // more than itself

func secretPath(f provisioner.File) string { return path.Join(provisioner.SecretsDir, f.Name) }

// Close returns the way up. Idempotent; a Deliver that waits ends.
func (s *stage) Close() error {
	s.end()
	if s.used.CompareAndSwap(false, true) {
		s.leave()
	}
	return nil
}

// leave ends the process inside; called once.
func (s *stage) leave() {
	s.end()
	s.w.leave(s.id, s.process)
	s.w.countStages(-1)
}

func (w *World) countStages(more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.staged += more
}

// OpenStages counts the stages of this process that were neither used nor closed.
func (w *World) OpenStages() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.staged
}
