package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// CopyTo unpacks a tar stream into the existing directory dir of an environment. The files
// belong to user ("": the environment's default). CopyTo never retries. If reading tar fails,
// the error wraps the reader's error.
func (c *Client) CopyTo(ctx context.Context, nameOrID, dir, user string, tar io.Reader) error {
	req, err := c.newRequest(ctx, request{method: http.MethodPut, url: c.files(nameOrID, dir, user)})
	if err != nil {
		return err
	}
	source := &source{Reader: tar}
	req.Body = io.NopCloser(source)
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/x-tar")
	// The daemon refuses before the first byte is sent.
	req.Header.Set("Expect", "100-continue")
	resp, err := c.http.Do(req)
	if source.err != nil && ctx.Err() == nil {
		if err == nil {
			resp.Body.Close()
		}
		return fmt.Errorf("cannot read the files to copy: %w", source.err)
	}
	if err != nil {
		return c.lost(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return c.answered(resp)
	}
	return nil
}

func (c *Client) files(nameOrID, path, user string) string {
	query := url.Values{"path": {path}}
	if user != "" {
		query.Set("user", user)
	}
	return c.endpoint(query, "v1", "environments", nameOrID, "files")
}

// source distinguishes errors of the caller's reader from errors of the connection.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
