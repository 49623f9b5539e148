package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

func (s *Server) fileRoutes(api huma.API) {
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	register(s, api, toUse, huma.Operation{
		OperationID: "copy-to", Method: http.MethodPut, Path: "/v1/environments/{env}/files", Tags: []string{"inside"},
		Summary:     "Unpack a tar stream in an environment",
		Description: "Refuses devices and entries outside the directory or below a link of the stream. Creates links unchanged and never follows them. Drops owners, extended attributes and set-id bits of files.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{tarred: {Schema: binary}}},
		Responses:   map[string]*huma.Response{"204": {Description: "Unpacked"}},
		Errors:      errorStatuses(http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests),
	}, func(_ context.Context, in *struct {
		EnvPath
		Path string `query:"path" maxLength:"4096" doc:"Existing directory; default: the workspace" example:"/workspace"`
		User string `query:"user" maxLength:"64" doc:"Owner of the files; default: the blueprint's first user"`
	}) (*huma.StreamResponse, error) {
		return s.stream(func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
			return s.copyTo(ctx, w, r, in.Env, in.Path, in.User)
		}), nil
	})

	copied := content("The tar stream", tarred, binary)
	copied["200"].Content[wire.CopyType] = &huma.MediaType{Schema: binary}
	register(s, api, toUse, huma.Operation{
		OperationID: "copy-from", Method: http.MethodGet, Path: "/v1/environments/{env}/files", Tags: []string{"inside"},
		Summary: "Read a file or directory of an environment as a tar stream",
		Description: "The first entry is the base name of the path. Follows a path that is a link. The sandbox creates the stream: check its entries before you write them anywhere. " +
			"With Accept: multipart/mixed the answer has two parts: the tar stream, and a JSON record of its end with length and SHA-256. " +
			"Without it, a stream that breaks before the end of the answer is incomplete.",
		Responses: copied,
		Errors:    errorStatuses(http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests),
	}, func(_ context.Context, in *struct {
		EnvPath
		Path string `query:"path" required:"true" minLength:"1" maxLength:"4096" doc:"File or directory" example:"/workspace/out"`
		User string `query:"user" maxLength:"64" doc:"Read with the permissions of this user; default: the blueprint's first user"`
	}) (*huma.StreamResponse, error) {
		return s.stream(func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
			return s.copyFrom(ctx, w, r, in.Env, in.Path, in.User)
		}), nil
	})
}

func (s *Server) copyTo(ctx context.Context, w http.ResponseWriter, r *http.Request, env, dir, user string) error {
	tooLarge := problem(fleet.CodeTooLarge, "copy in parts, exclude files with --exclude, or raise max_copy_mib in bothyd's configuration",
		"the copy exceeds %d MiB, the limit of this daemon", s.cfg.MaxUpload>>20)
	if r.ContentLength > s.cfg.MaxUpload {
		return tooLarge
	}
	body := &upload{body: http.MaxBytesReader(w, r.Body, s.cfg.MaxUpload), rc: http.NewResponseController(w), stall: s.cfg.StallTimeout, rate: s.cfg.UploadRate, ctx: ctx, now: realTime, most: s.cfg.MaxUpload}
	err := s.services.Sandboxes.CopyTo(ctx, caller(ctx), env, dir, user, body)
	var exceeded *http.MaxBytesError
	switch {
	case revoked(ctx) != nil:
		body.refuse(w, r, revoked(ctx))
		return nil
	case errors.As(body.err, &exceeded):
		return tooLarge
	case body.err != nil:
		return problem(fleet.CodeInvalid, "the destination may be incomplete, copy again", "incomplete copy: %s", body.reason())
	case err != nil && body.begun:
		body.refuse(w, r, s.ended(ctx, s.notThere(ctx, env, dir, err)))
		return nil
	case err != nil:
		return s.notThere(ctx, env, dir, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// upload reads a body that must keep coming, and remembers what was wrong with
// it: whoever reads it may wrap the error beyond recognition.
type upload struct {
	body  io.Reader
	rc    *http.ResponseController
	stall time.Duration
	// rate is the least that it brings over stall, in bytes a second. Only the time that it was waited for counts: a slow
	// sandbox is not the sender's fault. ctx is the request's.
	rate int64
	ctx  context.Context
	now  func() time.Time

	// most is how many bytes the files may have, holes included.
	most  int64
	begun bool
	err   error
	// waited and came are of the present span of time.
	waited time.Duration
	came   int64
}

// errSlow says that an upload trickles.
var errSlow = errors.New("too slow")

// Limit makes it a provisioner.Limited.
func (u *upload) Limit() int64 { return u.most }

func (u *upload) Read(p []byte) (int, error) {
	// A connection that cannot take deadlines has none.
	_ = u.rc.SetReadDeadline(realTime().Add(u.stall))
	if err := u.ctx.Err(); err != nil {
		return 0, err // Whoever ended it may have set a deadline, which was just put off.
	}
	begun := u.now()
	n, err := u.body.Read(p)
	u.begun = u.begun || n > 0
	u.waited, u.came = u.waited+u.now().Sub(begun), u.came+int64(n)
	if err == nil && u.waited >= u.stall {
		if float64(u.came) < float64(u.rate)*u.waited.Seconds() {
			err = errSlow
		}
		u.waited, u.came = 0, 0
	}
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}

// refuse answers with an error while the client still sends. The server of net/http would close the connection at once, as the body
// was asked for by "100 Continue", and a client whose write fails does not look for an answer any more: what it sends is
// read for a while longer.
func (u *upload) refuse(w http.ResponseWriter, r *http.Request, err error) {
	// A connection that cannot do it (HTTP/2) does so anyway.
	_ = u.rc.EnableFullDuplex()
	fail(w, r, err)
	_ = u.rc.SetReadDeadline(realTime().Add(lingerWait))
	if u.rc.Flush() == nil {
		_, _ = io.Copy(io.Discard, u.body) // Ends with the client, or at the deadline.
	}
}

func (u *upload) reason() string {
	var timeout interface{ Timeout() bool }
	if errors.As(u.err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("received nothing for %s", u.stall)
	}
	if errors.Is(u.err, errSlow) {
		return fmt.Sprintf("received less than %d bytes per second for %s", u.rate, u.stall)
	}
	return "the connection ended"
}

// notThere adds to an error about a file that is not there how to see which are.
func (s *Server) notThere(ctx context.Context, env, file string, err error) error {
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || e.Code != fleet.CodeNotFound || e.Hint != "" {
		return err
	}
	row, findErr := s.services.Environments.Find(ctx, caller(ctx), env)
	if findErr != nil {
		return err // it is the environment that is not there
	}
	// What is asked for is not there, so what holds it is looked at; the hint is only shown, and run by whoever likes it.
	folder := path.Dir(cmp.Or(file, row.Workspace))
	hinted := *e
	return hinted.WithHint("bothy exec %s -- ls -a %s", row.Name, quoted(folder))
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if strings.IndexFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+=:@%", r)
	}) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
