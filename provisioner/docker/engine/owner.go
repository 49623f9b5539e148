package engine

import (
	"context"
	"errors"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

// Kinds of resources.
const (
	KindContainer = "container"
	KindNetwork   = "network"
	KindVolume    = "volume"
)

// foreignError marks a resource that is not ours: no try will change that.
type foreignError struct{ err error }

func (e foreignError) Error() string { return e.err.Error() }

func (e foreignError) Unwrap() error { return e.err }

// IsForeign reports whether an error is the refusal of Foreign, or of OfAnother.
func IsForeign(err error) bool {
	_, ok := errors.AsType[foreignError](err)
	return ok
}

// RemoveNetwork removes a network; one that is still in use gives class Conflict.
func (c *Client) RemoveNetwork(cctx, ctx context.Context, op, id string) error {
	err := c.API.NetworkRemove(cctx, id)
	if err != nil && strings.Contains(err.Error(), "active endpoints") {
		return provisioner.Errorf(provisioner.Conflict, op, "network %s is still in use", id)
	}
	return c.Fail(ctx, op, err)
}

// Owns reports whether labels were made by this installation.
func (c *Client) Owns(labels map[string]string) bool {
	return labels[provisioner.LabelInstance] == c.Instance && c.Key.Verify(labels)
}

// Foreign is the refusal to touch a resource of somebody else.
func Foreign(op, kind, id string) error {
	return foreignError{provisioner.Errorf(provisioner.Conflict, op,
		"%s %s does not carry this installation's labels; it is left alone", kind, id)}
}

// OfAnother is the refusal to touch a resource of another environment than the one that it was found for.
func OfAnother(op, kind, id, environment, want string) error {
	return foreignError{provisioner.Errorf(provisioner.Conflict, op,
		"%s %s belongs to environment %q, not to %q; it is left alone", kind, id, environment, want)}
}
