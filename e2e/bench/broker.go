package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	dockerruntime "github.com/bothy-env/bothy/provisioner/docker"
)

// manyDoors is how many doors are open while their memory is measured.
const manyDoors = 50

// broker measures the overhead of the door between Terraform and the engine: the read-only calls of a create, through a door and straight
// to the engine, and the cost of a door itself.
func (b *bench) broker(ctx context.Context) error {
	b.say("the broker")
	engine := "unix:///var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		engine = host
	}
	path, local := strings.CutPrefix(engine, "unix://")
	if !local {
		return fmt.Errorf("the broker is measured on a local engine; %s is not one", engine)
	}
	instance, key := strings.ToLower(rand.Text()[:8]), provisioner.Key(rand.Text())
	r, err := dockerruntime.New(dockerruntime.Config{
		Host: engine, Instance: instance, Key: key, Sockets: filepath.Join(b.dir, "doors"), Network: dockerruntime.NetworkConfig{Spare: -1},
	})
	if err != nil {
		return err
	}
	image, err := r.ResolveImage(ctx, "bothy/base")
	if err != nil {
		return err
	}
	owner := provisioner.Owner{Instance: instance, Environment: "bench", Generation: 1, Created: time.Now()}
	grant := provisioner.Grant{
		Spec: provisioner.Spec{
			Owner: owner, Labels: key.Labels(owner),
			Sandbox: provisioner.Sandbox{CPUs: 1, MemoryMiB: 64, Pids: 64, Image: image, Network: "none"},
		},
		Create: true, Trusted: func() bool { return true },
		Intend:   func(context.Context, provisioner.Object) error { return nil },
		Answered: func(provisioner.Object) {},
	}
	door, err := r.Broker().Open(ctx, grant)
	if err != nil {
		return err
	}
	defer door.Close()
	calls := []string{"HEAD /_ping", "HEAD /_ping", "GET /v1.41/images/" + image + "/json", "GET /v1.41/containers/json?all=1"}
	took, err := interleave(b.execs,
		callsTo(ctx, strings.TrimPrefix(door.Endpoint(), "unix://"), calls), callsTo(ctx, path, calls),
		func() error {
			d, err := r.Broker().Open(ctx, grant)
			if err == nil {
				d.Close()
			}
			return err
		})
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	added := make([]float64, len(took[0]))
	for i := range added {
		added[i] = took[0][i] - took[1][i] + took[2][i]
	}
	b.row(result{name: "broker", unit: "ms", ours: added, goal: atMost(2), how: "opening and closing a door, plus its overhead for the read-only calls of a create"})
	b.row(result{name: "broker/calls", unit: "ms", ours: took[0], hand: took[1], how: "these calls through the door; hand: to the engine"})
	kib, err := memoryOf(ctx, r.Broker(), grant)
	if err != nil {
		return err
	}
	b.row(result{name: "broker/memory", unit: "KiB", ours: []float64{kib}, goal: atMost(1024), how: fmt.Sprintf("one of %d open doors", manyDoors)})
	return r.Close(ctx)
}

// callsTo makes calls to a socket, on one connection, like a provider.
func callsTo(ctx context.Context, path string, calls []string) func() error {
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}
	return func() error {
		for _, call := range calls {
			method, uri, _ := strings.Cut(call, " ")
			req, err := http.NewRequestWithContext(ctx, method, "http://docker"+uri, nil)
			if err != nil {
				return err
			}
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			err = errors.Join(err, resp.Body.Close())
			if err != nil || resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s returned %s: %w", call, resp.Status, err)
			}
		}
		return nil
	}
}

// memoryOf is the memory of one of many open doors, in KiB.
func memoryOf(ctx context.Context, broker provisioner.Broker, grant provisioner.Grant) (float64, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var doors []provisioner.Door
	defer func() {
		for _, d := range doors {
			d.Close()
		}
	}()
	for range manyDoors {
		d, err := broker.Open(ctx, grant)
		if err != nil {
			return 0, err
		}
		doors = append(doors, d)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap, stacks := int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(after.StackInuse)-int64(before.StackInuse)
	return float64(max(heap+stacks, 0)) / manyDoors / 1024, nil
}
