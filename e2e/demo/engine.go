package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// engine is the Docker engine, asked directly: the daemon alone must not decide that nothing is left.
type engine interface {
	// List returns the ids of objects of a kind with the label "key=value".
	List(ctx context.Context, kind, label string) ([]string, error)
	Remove(ctx context.Context, kind, id string) error
}

// kinds are the kinds of possible leftovers, in the order in which they can be removed.
var kinds = []string{"container", "network", "volume"}

const (
	labelInstance    = "bothy.instance"
	labelEnvironment = "bothy.environment"
)

// engineHost is the engine that the daemon of this environment uses.
func engineHost() string {
	for _, name := range []string{"BOTHY_ENGINE_HOST", "DOCKER_HOST"} {
		if host := os.Getenv(name); host != "" {
			return host
		}
	}
	return "unix:///var/run/docker.sock"
}

// newEngine uses the docker command if it is installed, otherwise the engine's API.
func newEngine(host string) (engine, error) {
	if path, err := exec.LookPath("docker"); err == nil {
		return dockerCommand{path: path, host: host}, nil
	}
	return newDockerAPI(host)
}

// ids matches bothy's instance and environment ids; an empty one would match others' objects.
var ids = regexp.MustCompile(`^[a-z0-9]{6,40}$`)

// left lists objects with a label and one of bothy's ids, as "kind id".
func left(ctx context.Context, e engine, key, id string) ([]string, error) {
	if !ids.MatchString(id) {
		return nil, fmt.Errorf("look for leftovers: %q is not an id of bothy", id)
	}
	var found []string
	for _, kind := range kinds {
		some, err := e.List(ctx, kind, key+"="+id)
		if err != nil {
			return nil, fmt.Errorf("look for leftovers: list %ss: %w", kind, err)
		}
		for _, id := range some {
			found = append(found, kind+" "+id)
		}
	}
	return found, nil
}

// sweep removes objects with the instance's label, and returns them.
func sweep(ctx context.Context, e engine, instance string) ([]string, error) {
	found, err := left(ctx, e, labelInstance, instance)
	for _, thing := range found {
		kind, id, _ := strings.Cut(thing, " ")
		if e := e.Remove(ctx, kind, id); e != nil {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", thing, e))
		}
	}
	return found, err
}

// dockerCommand is the engine through the docker command.
type dockerCommand struct{ path, host string }

// List runs docker ps, docker network ls or docker volume ls.
func (d dockerCommand) List(ctx context.Context, kind, label string) ([]string, error) {
	args := []string{kind, "ls", "--quiet", "--filter", "label=" + label}
	if kind == "container" {
		args = append(args, "--all", "--no-trunc")
	}
	out, err := d.run(ctx, args...)
	return strings.Fields(out), err
}

// Remove runs docker container rm and the like.
func (d dockerCommand) Remove(ctx context.Context, kind, id string) error {
	args := []string{kind, "rm", id}
	if kind == "container" {
		args = []string{kind, "rm", "--force", "--volumes", id}
	}
	_, err := d.run(ctx, args...)
	return err
}

func (d dockerCommand) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.path, args...) //nolint:gosec // the demo's own commands
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// dockerAPI is the engine through its own HTTP.
type dockerAPI struct {
	base   string
	client *http.Client
}

func newDockerAPI(host string) (dockerAPI, error) {
	scheme, address, ok := strings.Cut(host, "://")
	switch {
	case ok && scheme == "unix":
		return dockerAPI{base: "http://docker", client: &http.Client{Transport: unixTransport(address)}}, nil
	case ok && scheme == "tcp":
		return dockerAPI{base: "http://" + address, client: &http.Client{}}, nil
	}
	return dockerAPI{}, fmt.Errorf("use the Docker engine at %q: want unix:///path or tcp://host:port, or the docker command", host)
}

func unixTransport(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}

// List lists objects of a kind with a label.
func (d dockerAPI) List(ctx context.Context, kind, label string) ([]string, error) {
	filters, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, fmt.Errorf("write the filter: %w", err)
	}
	query := "?filters=" + url.QueryEscape(string(filters))
	switch kind {
	case "container":
		return d.list(ctx, "/containers/json"+query+"&all=1", new([]thing))
	case "network":
		return d.list(ctx, "/networks"+query, new([]thing))
	default:
		return d.list(ctx, "/volumes"+query, new(struct{ Volumes []thing }))
	}
}

type thing struct{ ID, Name string }

func (d dockerAPI) list(ctx context.Context, path string, into any) ([]string, error) {
	body, err := d.do(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, fmt.Errorf("read the engine's answer: %w", err)
	}
	var found []string
	switch list := into.(type) {
	case *[]thing:
		for _, t := range *list {
			found = append(found, t.ID)
		}
	case *struct{ Volumes []thing }: // volumes have no id but their name
		for _, t := range list.Volumes {
			found = append(found, t.Name)
		}
	}
	return found, nil
}

// Remove deletes one object.
func (d dockerAPI) Remove(ctx context.Context, kind, id string) error {
	path := "/" + kind + "s/" + url.PathEscape(id)
	if kind == "container" {
		path += "?force=1&v=1"
	}
	_, err := d.do(ctx, http.MethodDelete, path)
	return err
}

func (d dockerAPI) do(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the engine: %w", err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the engine: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("read the engine's answer: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("the engine says %s: %s", resp.Status, printable(string(body)))
	}
	return body, nil
}
