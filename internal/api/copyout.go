package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/provisioner"
)

// copyFrom answers with what the sandbox packs, and with how that ended.
func (s *Server) copyFrom(ctx context.Context, w http.ResponseWriter, r *http.Request, env, file, user string) error {
	tar, err := s.services.Sandboxes.CopyFrom(ctx, caller(ctx), env, file, user)
	if err != nil {
		return s.notThere(ctx, env, file, err)
	}
	defer tar.Close()
	defer context.AfterFunc(ctx, func() { _ = tar.Close() })() // Ends a Read that is under way.
	if acceptsEnd(r.Header) {
		return s.copyWithEnd(ctx, w, tar)
	}
	w.Header().Set("Content-Type", tarred)
	w.WriteHeader(http.StatusOK)
	if _, err := io.CopyBuffer(flushing{w, http.NewResponseController(w)}, tar, make([]byte, 64<<10)); err != nil || ctx.Err() != nil {
		if ctx.Err() == nil {
			requestOf(ctx).log.Error("copy out of environment broke off", "environment", env, "error", err)
		}
		// The answer has begun: cutting it off is all that still tells this client.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// acceptsEnd reports whether the client reads copies that tell how they ended.
func acceptsEnd(h http.Header) bool {
	for _, list := range h.Values("Accept") {
		for one := range strings.SplitSeq(list, ",") {
			if kind, _, err := mime.ParseMediaType(one); err == nil && kind == wire.CopyType {
				return true
			}
		}
	}
	return false
}

// copyWithEnd sends the tar stream and a record of its end.
func (s *Server) copyWithEnd(ctx context.Context, w http.ResponseWriter, tar io.Reader) error {
	parts := multipart.NewWriter(w)
	w.Header().Set("Content-Type", mime.FormatMediaType(wire.CopyType, map[string]string{"boundary": parts.Boundary()}))
	w.WriteHeader(http.StatusOK)
	sum, from := sha256.New(), &faultReader{r: tar}
	part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {tarred}})
	var n int64
	if err == nil {
		n, err = io.CopyBuffer(io.MultiWriter(flushing{part, http.NewResponseController(w)}, sum), from, make([]byte, 64<<10))
	}
	if err == nil || from.err != nil {
		end := wire.CopyEnd{Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}
		// A tar stream that was closed because ctx ended may look as if it had come to its end.
		if fault := cmp.Or(from.err, ctx.Err()); fault != nil {
			end.Problem = problemOf(ctx, s.ended(ctx, fault))
		} else if noted, ok := tar.(provisioner.NotedCopy); ok {
			notes := noted.Notes()
			end.NoteCount = notes.Count
			for _, n := range notes.First {
				end.Notes = append(end.Notes, wire.CopyNote{Path: n.Path, Kind: string(n.Kind)})
			}
		}
		err = writeEnd(parts, end)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // The client has left: a stream without a record is not whole.
	}
	return nil
}

func writeEnd(parts *multipart.Writer, end wire.CopyEnd) error {
	part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/json"}})
	if err != nil {
		return fmt.Errorf("write record of copy: %w", err)
	}
	if err := json.NewEncoder(part).Encode(end); err != nil {
		return fmt.Errorf("write record of copy: %w", err)
	}
	return parts.Close()
}

// faultReader remembers an error of the reader that is not its end: one of the writer is another matter.
type faultReader struct {
	r   io.Reader
	err error
}

func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// flushing sends what it is given at once: the next part may be long in coming.
type flushing struct {
	io.Writer
	rc *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err != nil {
		return n, err
	}
	return n, f.rc.Flush()
}
