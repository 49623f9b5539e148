package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// door is one way in: a listener's rules about who may speak.
type door struct {
	server *Server
	// hosts, when not nil, are the only names that a request may be addressed to.
	hosts map[string]bool
	// identify gives the caller, or the problem that says why there is none.
	identify func(*http.Request) (peer, error)
}

// ServeHTTP lets a request in, or says why not. What is refused here costs nothing and reads no body.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := d.server
	info := &request{id: fmt.Sprintf("%x-%x", os.Getpid(), s.requests.Add(1)), path: r.URL.Path}
	info.log = s.log.With("request", info.id, "method", r.Method, "path", r.URL.Path)
	r = r.WithContext(withRequest(r.Context(), info))
	rec := &recorder{ResponseWriter: w}
	begun := realTime()
	w.Header().Set("X-Request-Id", info.id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")

	defer func() {
		fault := recover()
		if fault != nil {
			answerPanic(rec, r, fault)
		}
		info.log.Debug("request", "caller", info.peer.name, "status", rec.status, "took", realTime().Sub(begun))
		if fault != nil && (rec.hijacked || rec.status != http.StatusInternalServerError) {
			// The answer has begun: cutting it off is all that still tells the client.
			panic(http.ErrAbortHandler)
		}
	}()

	if err := d.admit(r, info); err != nil {
		fail(rec, r, err)
		return
	}
	s.router.ServeHTTP(rec, r)
}

func (d *door) admit(r *http.Request, info *request) error {
	// Browsers send Origin with what a page asks of another site. No page is served here, so none may ask.
	if r.Header.Get("Origin") != "" {
		return problem(fleet.CodePolicy, "use bothy or another program that is not a browser", "requests from web pages are refused")
	}
	if d.hosts != nil && !d.hosts[hostname(r.Host)] {
		return problem(fleet.CodePolicy, "name it in listen.allowed_hosts if it is right", "this daemon does not answer to the name %q", hostname(r.Host))
	}
	if r.URL.Path == healthPath {
		return nil // Says nothing about anyone.
	}
	var err error
	if info.peer, err = d.identify(r); err != nil {
		return err
	}
	info.who, err = d.server.people.Identify(info.peer.name, info.peer.uid, "")
	return err
}

// hostname is the host of a Host header, without its port, as names are compared.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func answerPanic(w *recorder, r *http.Request, fault any) {
	if err, ok := fault.(error); (ok && errors.Is(err, http.ErrAbortHandler)) || r.Context().Err() != nil {
		return // Meant, or nobody is there any more.
	}
	info := requestOf(r.Context())
	info.log.Error("panic in a request", "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
	if w.status == 0 && !w.hijacked {
		fail(w, r, &wire.Problem{
			Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError,
			Detail: "a fault of bothy's own; it was logged", Code: string(fleet.CodeInternal),
			Hint: fmt.Sprintf("see bothyd's log for request %s", info.id),
		})
	}
}
