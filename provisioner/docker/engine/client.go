// Package engine is the connection to one Docker engine on behalf of one installation: calls with a timeout, errors in provisioner's
// classes, and the check that a resource belongs to the installation. Every room of provisioner/docker works through it.
package engine

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/bothy-env/bothy/provisioner"
)

// OpExec is the operation named in errors of running a command.
const OpExec = "run command"

// MostKnown bounds how many sandboxes a room remembers.
const MostKnown = 4096

// Options say which engine to use and for which installation.
type Options struct {
	// Host is the engine's address: "unix:///path" or "tcp://host:port" ("" for the engine's usual socket). A tcp engine's
	// certificates come from DOCKER_CERT_PATH, as with the docker command.
	Host string
	// Instance is the id of this bothy installation. Only resources that carry it are ever changed.
	Instance string
	// Key authenticates the owner labels.
	Key provisioner.Key
	// Timeout bounds every call that is not a stream; 0 means 30 s.
	Timeout time.Duration
	// Log receives what cannot be returned to a caller; nil discards it.
	Log *slog.Logger
}

// Client is a connection to the engine. It is safe for use by many goroutines.
type Client struct {
	API      *client.Client
	Host     string
	Instance string
	Key      provisioner.Key
	Timeout  time.Duration
	Log      *slog.Logger
	// Local says that the engine runs on this host.
	Local bool
}

// New makes a Client. It does not talk to the engine, which may be away. A configuration that can never work gives class Permanent.
func New(o Options) (*Client, error) {
	const op = "configure Docker"
	if o.Instance == "" || len(o.Key) == 0 {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "the instance id and the label key must be set")
	}
	if o.Host == "" {
		o.Host = client.DefaultDockerHost
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	at, err := client.ParseHostURL(o.Host)
	if err != nil {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "engine address %q: %w", o.Host, err)
	}
	opts := []client.Opt{client.WithAPIVersionNegotiation()}
	addr := at.Host
	switch at.Scheme {
	case "unix":
		addr += at.Path
		opts = append(opts, client.WithHost(o.Host))
	case "tcp":
		opts = append(opts, client.WithTLSClientConfigFromEnv(), client.WithHost(o.Host))
	default:
		return nil, provisioner.Errorf(provisioner.Permanent, op,
			"engine address %q: only unix:// and tcp:// are supported", o.Host)
	}
	opts = append(opts, client.WithDialContext(guardedDial(at.Scheme, addr)))
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "engine address %q: %w", o.Host, err)
	}
	return &Client{
		API: api, Host: o.Host, Instance: o.Instance, Key: o.Key, Timeout: o.Timeout, Log: o.Log, Local: at.Scheme == "unix",
	}, nil
}

// Call returns the context of one call that is not a stream.
func (c *Client) Call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Timeout)
}

// Close ends the connection.
func (c *Client) Close() error { return c.API.Close() }

// Container returns everything the engine reports of a container.
func (c *Client) Container(ctx context.Context, op, id string) (container.InspectResponse, error) {
	cctx, cancel := c.Call(ctx)
	defer cancel()
	found, err := c.API.ContainerInspect(cctx, id)
	if err == nil && (found.ContainerJSONBase == nil || found.State == nil || found.Config == nil || found.HostConfig == nil) {
		err = provisioner.Errorf(provisioner.Transient, op, "the engine's answer is not complete")
	}
	return found, c.Fail(ctx, op, err)
}

// CloseQuietly closes what was only read from.
func CloseQuietly(c io.Closer) { _ = c.Close() }
