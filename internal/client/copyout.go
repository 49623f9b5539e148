package client

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// CopyFrom returns a file or directory of an environment as a tar stream whose first entry is its base name, read with the permissions
// of user. The sandbox creates the stream: check its entries before you write them anywhere.
//
// The caller reads to io.EOF and closes the stream. Only io.EOF means that the copy is complete: by then the client has compared length
// and checksum with the daemon's record. Otherwise an *Error has the reason from the sandbox.
func (c *Client) CopyFrom(ctx context.Context, nameOrID, path, user string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, request{
		method: http.MethodGet, url: c.files(nameOrID, path, user), header: http.Header{"Accept": {wire.CopyType}},
	})
	if err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != wire.CopyType || params["boundary"] == "" {
		defer resp.Body.Close()
		return nil, c.notBothys(resp.StatusCode)
	}
	from := &framed{r: resp.Body, left: maxFrame}
	// A multipart.Reader reads 4 KiB at a time, each with a system call.
	parts := multipart.NewReader(bufio.NewReaderSize(from, 64<<10), params["boundary"])
	d := &download{ctx: ctx, client: c, body: resp.Body, from: from, parts: parts, sum: sha256.New()}
	if d.tar, err = d.parts.NextRawPart(); err != nil {
		defer resp.Body.Close()
		return nil, d.broken(err)
	}
	from.left = boundless
	return d, nil
}

const (
	// maxEnd limits the record at the end of a copy, in bytes.
	maxEnd = 1 << 20
	// maxFrame limits the data before the tar stream and before the record, in bytes. It is larger than the buffer.
	maxFrame  = 128 << 10
	boundless = -1
)

// framed limits the data outside of the tar stream: a multipart.Reader skips a preamble of any length.
type framed struct {
	r io.Reader
	// left is the number of bytes allowed; boundless for no limit.
	left int
	// err is the last error of Read, including a tooMuch.
	err error
}

func (f *framed) Read(p []byte) (n int, err error) {
	switch {
	case f.left == 0:
		err = &tooMuch{"bothyd would send"}
	case f.left == boundless:
		n, err = f.r.Read(p)
	default:
		n, err = f.r.Read(p[:min(len(p), f.left)])
		f.left -= n
	}
	f.err = err
	return n, err
}

// download is the tar stream of a copy. Its final error depends on the record after it.
type download struct {
	ctx    context.Context
	client *Client
	body   io.ReadCloser
	from   *framed
	parts  *multipart.Reader
	tar    *multipart.Part
	sum    hash.Hash
	n      int64
	end    error // set once the stream has ended
	noted  wire.CopyEnd
}

// Notes returns the files that were changed or skipped by the copy, complete after io.EOF. The paths come from the sandbox.
func (d *download) Notes() (first []wire.CopyNote, count int) {
	return d.noted.Notes, d.noted.NoteCount
}

// Close ends the connection's answer.
func (d *download) Close() error { return d.body.Close() }

// Read fills p unless the stream ends before.
func (d *download) Read(p []byte) (int, error) {
	if d.end != nil || len(p) == 0 {
		return 0, d.end
	}
	n, err := 0, error(nil)
	for n < len(p) && err == nil {
		var more int
		more, err = d.tar.Read(p[n:])
		n += more
	}
	d.sum.Write(p[:n])
	d.n += int64(n)
	switch {
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		d.end = d.verify()
	case err != nil:
		d.end = d.broken(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, d.end
}

// verify reads the record and returns io.EOF if the copy is complete.
func (d *download) verify() error {
	d.from.left = maxFrame + maxEnd
	part, err := d.parts.NextRawPart()
	if err != nil {
		return d.broken(err)
	}
	data, err := io.ReadAll(io.LimitReader(part, maxEnd+1))
	if err != nil {
		return d.broken(err)
	}
	var end wire.CopyEnd
	if err := json.Unmarshal(data, &end); err != nil || len(data) > maxEnd {
		return d.client.notBothys(http.StatusOK)
	}
	d.noted = end
	switch {
	case end.Problem != nil:
		return fromProblem(*end.Problem)
	case end.Bytes != d.n:
		return &Error{Code: wire.CodeInternal, Sentence: fmt.Sprintf("incomplete copy: received %d of %d bytes", d.n, end.Bytes), Hint: "retry"}
	case end.SHA256 != hex.EncodeToString(d.sum.Sum(nil)):
		return &Error{Code: wire.CodeInternal, Sentence: "damaged copy: its checksum differs from the checksum of bothyd", Hint: "retry"}
	}
	return io.EOF
}

// broken returns the error of a broken stream.
func (d *download) broken(err error) error {
	if d.ctx.Err() == nil && isCutOff(err) {
		return &Error{
			Code:     wire.CodeInternal,
			Sentence: "incomplete copy: the connection broke",
			Hint:     "retry, and check the log of bothyd if it happens again",
			Err:      err,
		}
	}
	if _, much := errors.AsType[*tooMuch](d.from.err); much || d.from.err == nil { // the connection is well, and the answer is not
		return d.client.notBothys(http.StatusOK)
	}
	return d.client.lost(d.ctx, err)
}
