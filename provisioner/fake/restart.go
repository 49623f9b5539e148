package fake

import (
	"context"
	"maps"
	"slices"

	"github.com/bothy-env/bothy/provisioner"
)

var (
	_ provisioner.Restarter = (*Runtime)(nil)
	_ provisioner.Watcher   = (*Runtime)(nil)
)

// Restart starts a sandbox anew, on its network.
func (r *Runtime) Restart(ctx context.Context, id string) error {
	if err := r.w.undeclared("restart sandbox", r.w.like.can.Restart); err != nil {
		return err
	}
	return r.w.simple(ctx, OpRestart, r.w.environmentOf(id), func() error { return r.w.restart(id) })
}

// RestartOutside starts a sandbox anew as an administrator would, without the engine's knowledge.
func (w *World) RestartOutside(id string) error {
	return w.tx(func() error { return w.restart(id) })
}

// restart empties what lies in memory. Within tx.
func (w *World) restart(id string) error {
	c, err := w.container("restart sandbox", id)
	if err != nil {
		return err
	}
	maps.DeleteFunc(c.Sandbox.own(), func(p string, _ node) bool { return inside(p, provisioner.SecretsDir) })
	c.Sandbox.Status = provisioner.Status{Running: true, StartedAt: w.now().UTC()}
	c.Sandbox.OffNetwork = false
	w.tell(w.found(c))
	return w.resources.put(id, c)
}

// CutNetwork ends whatever holds a sandbox's network.
func (w *World) CutNetwork(id string) error {
	return w.tx(func() error {
		c, err := w.container("cut network", id)
		if err != nil {
			return err
		}
		c.Sandbox.OffNetwork = true
		// What holds a network is nobody's.
		w.tell(provisioner.Found{
			Ref:        provisioner.Ref{Kind: w.like.sandbox, Name: c.Sandbox.Network},
			Attachment: attachment(c.Sandbox.Network), State: provisioner.StateEnded,
			Labels: w.opts.Key.Labels(provisioner.Owner{Instance: w.opts.Instance, Created: w.now()}),
		})
		return w.resources.put(id, c)
	})
}

// OffNetwork reports whether CutNetwork was called since the sandbox started.
func (r *Runtime) OffNetwork(ctx context.Context, id string) (off bool, err error) {
	if err := r.w.undeclared("look at network", r.w.like.can.Restart); err != nil {
		return false, err
	}
	err = r.w.simple(ctx, OpInspect, r.w.environmentOf(id), func() error {
		c, err := r.w.container("look at network", id)
		if err == nil {
			off = c.Sandbox.OffNetwork && !c.Sandbox.ended()
		}
		return err
	})
	return off, err
}

// Watch tells what this process's calls have changed.
func (r *Runtime) Watch(ctx context.Context, instance string, begun func(), happened func(provisioner.Found)) error {
	w := r.w
	if err := w.undeclared("watch", w.like.can.Watch); err != nil {
		return err
	}
	if err := w.simple(ctx, OpWatch, "", nil); err != nil {
		return err
	}
	w.mu.Lock()
	w.watchers++
	next, wake := len(w.happened), w.told()
	w.mu.Unlock()
	defer w.unwatch()
	begun()
	for {
		select {
		case <-ctx.Done():
			return cancelled(OpWatch, ctx.Err())
		case <-wake:
		}
		w.mu.Lock()
		news := slices.Clone(w.happened[next:])
		next, wake = len(w.happened), w.told()
		w.mu.Unlock()
		for _, f := range news {
			if f.Labels[provisioner.LabelInstance] == instance {
				happened(f)
			}
		}
	}
}

// told is closed with the next thing that happens. The caller holds mu.
func (w *World) told() <-chan struct{} {
	if w.news == nil {
		w.news = make(chan struct{})
	}
	return w.news
}

func (w *World) unwatch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watchers--; w.watchers == 0 {
		w.happened = nil
	}
}

// tell notes for those who watch what has changed. Within tx.
func (w *World) tell(f provisioner.Found) {
	if w.watchers == 0 || w.silent {
		return
	}
	w.happened = append(w.happened, f)
	if w.news != nil {
		close(w.news)
		w.news = nil
	}
}

// SetSilent keeps from those who watch what happens, as a connection does that hangs.
func (w *World) SetSilent(silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = silent
}
