package fake

import (
	"context"
	"maps"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Marker = (*Runtime)(nil)

// Mark keeps labels as a volume has them.
func (r *Runtime) Mark(ctx context.Context, name string, labels map[string]string) error {
	return r.w.simple(ctx, OpMark, "", func() error {
		if _, there := r.w.resources.rows[name]; there {
			return nil
		}
		// A volume's id is its name.
		return r.w.resources.put(name, &resource{Kind: "volume", ID: name, Name: name, Labels: maps.Clone(labels), CreatedAt: r.w.now().UTC()})
	})
}

// Unmark takes a mark away.
func (r *Runtime) Unmark(ctx context.Context, name string) error {
	return r.w.simple(ctx, OpMark, "", func() error {
		if f, there := r.w.resources.rows[name]; !there || f.Labels[provisioner.LabelMark] == "" {
			return nil
		}
		return r.w.resources.drop(name)
	})
}
