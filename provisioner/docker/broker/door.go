package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

const (
	// maxObjects is how many things one environment may consist of.
	maxObjects = 16
	// maxRequests bounds what passes through one door; a create of the largest environment takes some 200.
	maxRequests = 4000
	// maxAtOnce is how many requests may be under way in one door.
	maxAtOnce = 16
	// maxConnections is how many connections one door has: each takes a descriptor of this process.
	maxConnections = 64
	// maxBody is the longest body that is read.
	maxBody = 512 << 10
	// closeWait is how long Close waits for answers of the engine.
	closeWait = 10 * time.Second
)

// door is an open provisioner.Door.
type door struct {
	b     *Broker
	grant provisioner.Grant
	at    string
	srv   *http.Server
	// ctx ends when the door closes.
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{}
	// connections are open now.
	connections atomic.Int64
	mu          sync.Mutex
	closed      bool
	passed      int
	under       sync.WaitGroup
	refusal     *provisioner.Refusal
	// failed is the last error of the engine's own, which says nothing of what was asked for.
	failed error

	scope  *scope
	extras *extras
	maker  *maker
	starts *starts

	// mounting is held by creates of containers, and alone by whoever removes a volume.
	mounting sync.RWMutex
}

func newDoor(ctx context.Context, b *Broker, grant provisioner.Grant, l net.Listener) *door {
	d := &door{
		b: b, grant: grant, at: "unix://" + l.Addr().String(), slots: make(chan struct{}, maxAtOnce),
	}
	d.scope = &scope{engine: b.cfg.Engine, key: b.cfg.Key, spec: &d.grant.Spec, known: map[string]container.InspectResponse{}}
	d.extras = &extras{make: b.cfg.Additions, unused: b.cfg.Unused, spec: &d.grant.Spec, create: grant.Create,
		added: map[string]Additions{}, secrets: map[string]string{}}
	d.maker = &maker{grant: grant, scope: d.scope, still: d.still, count: b.count}
	d.starts = &starts{then: b.cfg.Started}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.extras.foresee(d.ctx)
	d.srv = &http.Server{
		Handler: http.HandlerFunc(d.serve), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		ConnState:   d.connection,
		BaseContext: func(net.Listener) context.Context { return d.ctx },
		// What is wrong with a connection is the provider's to tell.
		ErrorLog: nil,
	}
	go func() { _ = d.srv.Serve(l) }() // ends with Close, which is its only error
	context.AfterFunc(d.ctx, d.shut)
	return d
}

// connection counts connections, and ends those beyond what one door has.
func (d *door) connection(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if d.connections.Add(1) > maxConnections {
			_ = c.Close() // it has done nothing yet
		}
	case http.StateClosed, http.StateHijacked:
		d.connections.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// Endpoint implements provisioner.Door.
func (d *door) Endpoint() string { return d.at }

// Refusal implements provisioner.Door.
func (d *door) Refusal() *provisioner.Refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refusal
}

// Made implements provisioner.Door.
func (d *door) Made() []provisioner.Object { return d.maker.list() }

// shut lets no further request pass. Requests under way lose their contexts, but for creates, whose answers are wanted.
func (d *door) shut() {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if !closed {
		_ = d.srv.Close() // the socket goes with the listener
	}
}

// Close implements provisioner.Door.
func (d *door) Close() {
	d.shut()
	d.cancel()
	done := make(chan struct{})
	go func() {
		d.under.Wait()
		d.maker.creates.Wait()
		d.starts.under.Wait()
		d.extras.giveBack()
		close(done)
	}()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// enter asks whether a request may pass now.
func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.passed >= maxRequests || !d.grant.Trusted() {
		return false
	}
	d.passed++
	d.under.Add(1)
	return true
}

// still asks again right before a call that makes the engine change anything: between a request's first byte and its last, this process
// may have slept for longer than its lease.
func (d *door) still() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || !d.grant.Trusted() {
		return errOver
	}
	return nil
}

// errOver is of the class that answers 503.
var errOver = fmt.Errorf("bothy: the work that this door was opened for is over: %w", errdefs.ErrUnavailable)

func (d *door) serve(w http.ResponseWriter, r *http.Request) {
	if !d.enter() {
		answerError(w, http.StatusServiceUnavailable, errOver.Error())
		return
	}
	defer d.under.Done()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-r.Context().Done():
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	asked, err := parse(r)
	if err == nil {
		d.note(asked, "begins")
		err = d.handle(w, r, asked)
	}
	if err == nil {
		d.note(asked, "ends")
		return
	}
	if refused, ok := errors.AsType[*provisioner.Refusal](err); ok {
		d.refuse(refused)
		d.note(asked, "refuses", "attribute", refused.Attribute)
		answerError(w, http.StatusForbidden, "bothy refuses this blueprint: "+refused.Error())
		return
	}
	d.note(asked, "fails", "error", err)
	if !errors.Is(err, errOver) && (errdefs.IsInternal(err) || errdefs.IsUnavailable(err) || errdefs.IsUnknown(err)) {
		d.fail(err)
	}
	answerError(w, statusOf(err), message(err))
}

// note is the broker's own record: what it was asked for, and what came of it.
func (d *door) note(asked request, what string, more ...any) {
	o := d.grant.Spec.Owner
	d.b.cfg.Logger.Debug("broker "+what, append([]any{
		"environment", o.Environment, "generation", o.Generation, "call", asked.call, "object", cmp.Or(asked.id, asked.name),
	}, more...)...)
}

func (d *door) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = err
}

// EngineFault implements provisioner.FaultTeller.
func (d *door) EngineFault() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

func (d *door) refuse(r *provisioner.Refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusal == nil {
		d.refusal = r
	}
}

func answer(w http.ResponseWriter, status int, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(data)
	_ = err // the provider has left; what was done is done
	return nil
}

// answerError answers as an engine does, so that clients print the sentence.
func answerError(w http.ResponseWriter, status int, sentence string) {
	_ = answer(w, status, map[string]string{"message": sentence}) // a map of strings has a form
}

// statusOf is the HTTP status of an engine's error; 0 for none.
func statusOf(err error) int {
	switch {
	case err == nil:
		return 0
	case errdefs.IsNotFound(err):
		return http.StatusNotFound
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err):
		return http.StatusConflict
	case errdefs.IsInvalidArgument(err):
		return http.StatusBadRequest
	case errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		return http.StatusForbidden
	case errdefs.IsUnavailable(err):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
