package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

func TestAnUploadStreamsThroughToTheEngine(t *testing.T) {
	d, first := newDouble(), make(chan string, 1)
	var whole int64
	d.copyTo = func(_ context.Context, dir, user string, tar io.Reader) error {
		head := make([]byte, 5)
		if _, err := io.ReadFull(tar, head); err != nil {
			return err
		}
		first <- dir + " " + user + " " + string(head)
		n, err := io.Copy(io.Discard, tar)
		whole = n + 5
		return err
	}
	r := start(t, d)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- r.client().CopyTo(limited(t), "otter", "/work space/é", "dev", pr) }()
	_, _ = io.WriteString(pw, "begin")
	// The engine has the first bytes while the client still holds the rest.
	if got := receive(t, "first bytes", first); got != "/work space/é dev begin" {
		t.Errorf("engine got %q", got)
	}
	rest := bytes.Repeat([]byte("x"), 1<<20)
	for range 40 {
		_, _ = pw.Write(rest)
	}
	pw.Close()
	if err := receive(t, "end of copy", done); err != nil {
		t.Error(err)
	}
	if whole != 40<<20+5 {
		t.Errorf("the engine read %d bytes", whole)
	}
	if resp, body := r.raw("PUT", "/v1/environments/otter/files?path=/w", strings.NewReader("begin")); resp.StatusCode != 204 || body != "" {
		t.Errorf("status %d, body %q; want 204 and none", resp.StatusCode, body)
	}
}

// TestAFileThatIsNotThereTellsHowToLook: it is the file that is missing, not the environment.
func TestAFileThatIsNotThereTellsHowToLook(t *testing.T) {
	missing := fleet.Errorf(fleet.CodeNotFound, "it is not there in the sandbox")
	d := newDouble().add(leased("otter"))
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) { return nil, missing }
	d.copyTo = func(context.Context, string, string, io.Reader) error { return missing }
	r := start(t, d)
	for _, c := range []struct{ method, path, hint string }{
		{"GET", "/workspace/out.txt", "bothy exec otter -- ls -a /workspace"},
		{"GET", "/my%20work/it's/x", `bothy exec otter -- ls -a '/my work/it'\''s'`},
		{"PUT", "/srv/new", "bothy exec otter -- ls -a /srv"},
	} {
		resp, body := r.raw(c.method, "/v1/environments/otter/files?path="+c.path, strings.NewReader("tar"))
		if p := problemIn(t, resp, body); resp.StatusCode != 404 || p.Hint != c.hint {
			t.Errorf("%s %s: %d, hint %q, want %q", c.method, c.path, resp.StatusCode, p.Hint, c.hint)
		}
	}
}

func TestAnUploadThatIsTooLargeIsRefused(t *testing.T) {
	d := newDouble()
	d.copyTo = func(_ context.Context, _, _ string, tar io.Reader) error {
		_, err := io.Copy(io.Discard, tar)
		if err != nil {
			return errors.New("docker: something about a tar") // as runtimes do
		}
		return nil
	}
	r := start(t, d, func(c *apiConfig) { c.MaxUpload = 1 << 20 })
	if err := r.client().CopyTo(limited(t), "otter", "/w", "", bytes.NewReader(make([]byte, 1<<20))); err != nil {
		t.Errorf("just as much as may be: %v", err)
	}
	var e *client.Error
	err := r.client().CopyTo(limited(t), "otter", "/w", "", bytes.NewReader(make([]byte, 1<<20+1)))
	if !errors.As(err, &e) || e.Code != wire.CodeTooLarge || e.Status != 413 || !strings.Contains(e.Hint, "max_copy_mib") {
		t.Errorf("one byte more, sent in chunks: %v", err)
	}
	resp, body := r.raw("PUT", "/v1/environments/otter/files?path=/w", bytes.NewReader(make([]byte, 1<<20+1)))
	if p := problemIn(t, resp, body); p.Code != "too_large" {
		t.Errorf("one byte more, with a length: %+v", p)
	}
}

func TestARefusedUploadSaysWhyThoughMuchIsStillToCome(t *testing.T) {
	d := newDouble()
	d.copyTo = func(_ context.Context, _, _ string, tar io.Reader) error {
		_, err := io.CopyN(io.Discard, tar, 1<<20)
		return errors.Join(err, fleet.Errorf(fleet.CodeInvalid, "../x leads out of the folder"))
	}
	r := start(t, d)
	var e *client.Error
	err := r.client().CopyTo(limited(t), "otter", "/w", "", io.LimitReader(zeros{}, 1<<30))
	if !errors.As(err, &e) || e.Sentence != "../x leads out of the folder" {
		t.Errorf("refused in the middle: %v", err)
	}
	d.fail = fleet.Errorf(fleet.CodeNotFound, "no environment")
	sent := &counting{Reader: io.LimitReader(zeros{}, 1<<30)}
	if err := r.client().CopyTo(limited(t), "nix", "/w", "", sent); client.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("refused at once: %v", err)
	}
	if sent.n > 64<<10 {
		t.Errorf("%d bytes were read for a copy that was refused before it began", sent.n)
	}
}

func TestAnUploadThatBringsNothingIsGivenUp(t *testing.T) {
	d, read := newDouble(), make(chan error, 1)
	d.copyTo = func(_ context.Context, _, _ string, tar io.Reader) error {
		_, err := io.Copy(io.Discard, tar)
		read <- err
		return fmt.Errorf("copy: %w", err)
	}
	r := start(t, d, func(c *apiConfig) { c.StallTimeout = 100 * time.Millisecond })
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() { _, _ = pw.Write([]byte("some")) }()
	err := r.client().CopyTo(limited(t), "otter", "/w", "", pr)
	if err := receive(t, "the engine's read", read); err == nil {
		t.Error("half a tar passed for a whole one")
	}
	if client.CodeOf(err) != wire.CodeInvalid || !strings.Contains(err.Error(), "received nothing for 100ms") {
		t.Errorf("the client got %v", err)
	}
}

func TestAnUploadWhoseSenderLeavesFailsInTheEngine(t *testing.T) {
	d, read := newDouble(), make(chan error, 1)
	d.copyTo = func(_ context.Context, _, _ string, tar io.Reader) error {
		_, err := io.Copy(io.Discard, tar)
		read <- err
		return err
	}
	r := start(t, d)
	broken := errors.New("disk on fire")
	err := r.client().CopyTo(limited(t), "otter", "/w", "", io.MultiReader(strings.NewReader("some"), failing{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("a fault of the client's own reader came back as %v", err)
	}
	if err := receive(t, "the engine's read", read); err == nil {
		t.Error("half a tar passed for a whole one")
	}
}

func TestADownloadStreamsAndEndsWhole(t *testing.T) {
	d := newDouble()
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	d.copyFrom = func(_ context.Context, path, user string) (io.ReadCloser, error) {
		if path != "/out/a b" || user != "root" {
			return nil, fleet.Errorf(fleet.CodeNotFound, "no %s for %s", path, user)
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	r := start(t, d)
	body, err := r.client().CopyFrom(limited(t), "otter", "/out/a b", "root")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(content), err)
	}
	if _, err := r.client().CopyFrom(limited(t), "otter", "/nix", ""); client.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("what is not there: %v", err)
	}
}

func TestADownloadThatBreaksIsNeverTakenForAWholeOne(t *testing.T) {
	d := newDouble()
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000)), failing{errors.New("engine away")})), nil
	}
	r := start(t, d)
	body, err := r.client().CopyFrom(limited(t), "otter", "/out", "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var e *client.Error
	if _, err := io.ReadAll(body); !errors.As(err, &e) || e.Code != wire.CodeInternal {
		t.Errorf("a download cut off gave %v", err)
	}
	until(t, "the reason is in the log", func() bool { return strings.Contains(r.log.String(), "engine away") })
}

func TestADownloadIsClosedWhenItsReceiverLeaves(t *testing.T) {
	d, closed := newDouble(), make(chan struct{}, 2)
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
		pr, pw := io.Pipe()
		go func() { _, _ = pw.Write([]byte("then nothing more")) }()
		return &closing{pr, closed}, nil
	}
	r := start(t, d)
	ctx, cancel := context.WithCancel(limited(t))
	body, err := r.client().CopyFrom(ctx, "otter", "/out", "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 17)); err != nil {
		t.Fatal(err)
	}
	cancel()
	receive(t, "close of the engine's reader", closed)
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

type closing struct {
	io.ReadCloser
	closed chan struct{}
}

func (c *closing) Close() error {
	select {
	case c.closed <- struct{}{}:
	default:
	}
	return c.ReadCloser.Close()
}

// TestADownloadTellsHowItEnded: the reason of the sandbox's side, not only that something was wrong.
func TestADownloadTellsHowItEnded(t *testing.T) {
	d := newDouble()
	why := fleet.Errorf(fleet.CodeDenied, "reading /out failed: tar: out/b: Cannot open: Permission denied").WithHint("another user")
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000)), failing{why})), nil
	}
	r := start(t, d)
	body, err := r.client().CopyFrom(limited(t), "otter", "/out", "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var e *client.Error
	got, err := io.ReadAll(body)
	if !errors.As(err, &e) || e.Code != wire.CodeDenied || e.Sentence != why.Sentence || e.Hint != why.Hint || len(got) != 100_000 {
		t.Errorf("%d bytes, %v; want 100000, %v", len(got), err, why)
	}
	if _, again := body.Read(make([]byte, 1)); !errors.Is(again, err) {
		t.Errorf("read again: %v", again)
	}
}

// noted is a copy of which something is to be said.
type noted struct {
	io.ReadCloser
	notes provisioner.CopyNotes
}

func (n noted) Notes() provisioner.CopyNotes { return n.notes }

// TestADownloadBringsItsNotes: what changed while it was read reaches the client, with how much more did.
func TestADownloadBringsItsNotes(t *testing.T) {
	d := newDouble()
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
		return noted{io.NopCloser(strings.NewReader("x")), provisioner.CopyNotes{First: []provisioner.CopyNote{{Path: "out/log", Kind: provisioner.CopyShrank}}, Count: 7}}, nil
	}
	body, err := start(t, d).client().CopyFrom(limited(t), "otter", "/out", "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadAll(body); err != nil {
		t.Fatal(err)
	}
	first, count := body.(interface {
		Notes() ([]wire.CopyNote, int)
	}).Notes()
	if count != 7 || len(first) != 1 || first[0] != (wire.CopyNote{Path: "out/log", Kind: wire.CopyShrank}) {
		t.Errorf("%v of %d notes", first, count)
	}
}

// TestADownloadWithoutARecordIsTheTarAlone: who does not ask for the record gets no parts, and a stream that breaks off when it fails.
func TestADownloadWithoutARecordIsTheTarAlone(t *testing.T) {
	d, content := newDouble(), "\r\n--boundary\r\nContent-Type: application/json\r\n\r\n{}\r\n--boundary--\r\n"
	d.copyFrom = func(_ context.Context, path, _ string) (io.ReadCloser, error) {
		if path == "/torn" {
			return io.NopCloser(io.MultiReader(strings.NewReader(content), failing{errors.New("engine away")})), nil
		}
		return io.NopCloser(strings.NewReader(content)), nil
	}
	r := start(t, d)
	for _, accept := range []string{"", "*/*", "application/x-tar"} {
		resp, body := r.raw("GET", "/v1/environments/otter/files?path=/out", nil, "Accept", accept)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-tar" || body != content {
			t.Errorf("Accept %q: %d %s %q", accept, resp.StatusCode, resp.Header.Get("Content-Type"), body)
		}
	}
	// What looks like the end of parts is part of the stream.
	body, err := r.client().CopyFrom(limited(t), "otter", "/out", "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || string(got) != content {
		t.Errorf("got %q, %v", got, err)
	}
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /v1/environments/otter/files?path=/torn HTTP/1.1\r\nHost: bothyd\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a torn stream ended with %v", err)
	}
}
