package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// api asks the daemon for what no command of bothy prints: whether it is ready, and every change of an environment.
type api struct{ client *http.Client }

func newAPI(socket string) api {
	return api{client: &http.Client{Transport: unixTransport(socket)}}
}

// open requests a path; the caller must close the body.
func (a api) open(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://bothyd"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask bothyd: %w", err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask bothyd: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var problem wire.Problem
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil || problem.Detail == "" {
		return nil, fmt.Errorf("ask bothyd: GET %s: %s", path, resp.Status)
	}
	return nil, fmt.Errorf("ask bothyd: GET %s: %w", path, &problem)
}

func (a api) get(ctx context.Context, path string, into any) error {
	body, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read bothyd's answer to %s: %w", path, err)
	}
	return nil
}

func (a api) version(ctx context.Context) (v wire.Version, err error) {
	err = a.get(ctx, "/v1/version", &v)
	return v, err
}

func (a api) doctor(ctx context.Context) (h wire.Health, err error) {
	err = a.get(ctx, "/v1/doctor", &h)
	return h, err
}

func (a api) environment(ctx context.Context, name string) (env wire.Environment, err error) {
	err = a.get(ctx, "/v1/environments/"+url.PathEscape(name), &env)
	return env, err
}

// follow calls seen with every change of an environment until it is destroyed, and returns its last state.
func (a api) follow(ctx context.Context, id string, seen func(wire.Environment)) (wire.Environment, error) {
	body, err := a.open(ctx, "/v1/environments/"+url.PathEscape(id)+"/watch")
	if err != nil {
		return wire.Environment{}, err
	}
	defer body.Close()
	var last wire.Environment
	for lines := json.NewDecoder(body); ; {
		var line struct {
			wire.Update
			wire.StreamEnd
		}
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return last, fmt.Errorf("watch %s: bothyd ended the stream while it was %s", id, last.State)
		case err != nil:
			return last, fmt.Errorf("watch %s: %w", id, err)
		case line.Problem != nil:
			return last, fmt.Errorf("watch %s: %w", id, line.Problem)
		}
		last = line.Environment
		seen(last)
		if last.State == "destroyed" {
			return last, nil
		}
	}
}
