package fake

import (
	"context"
	"maps"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Marker = (*Runtime)(nil)

// Mark keeps labels as a volume has them, or whatever lies there and does nothing.
func (r *Runtime) Mark(ctx context.Context, name string, labels map[string]string) error {
	if err := r.w.undeclared("keep mark", r.w.like.can.Marks); err != nil {
		return err
	}
	return r.w.simple(ctx, OpMark, "", func() error {
		if _, there := r.w.resources.rows[name]; there {
			return nil
		}
		// Its id is its name.
		return r.w.resources.put(name, &resource{Kind: r.w.like.mark, ID: name, Name: name, Labels: maps.Clone(labels), CreatedAt: r.w.now().UTC()})
	})
}

// Unmark takes a mark away.
func (r *Runtime) Unmark(ctx context.Context, name string) error {
	if err := r.w.undeclared("remove mark", r.w.like.can.Marks); err != nil {
		return err
	}
	return r.w.simple(ctx, OpMark, "", func() error {
		if f, there := r.w.resources.rows[name]; !there || f.Labels[provisioner.LabelMark] == "" {
			return nil
		}
		return r.w.resources.drop(name)
	})
}
