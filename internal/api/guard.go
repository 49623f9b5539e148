package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"unicode"
	"unicode/utf8"

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

// maxQuery bounds a request's query, in bytes: an escaped path of 4096 bytes and more fits.
const maxQuery = 16 << 10

// ServeHTTP lets a request in, or says why not. What is refused here costs nothing and reads no body.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := d.server
	info := &request{id: strings.ToLower(rand.Text()), path: r.URL.Path}
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
		return problem(fleet.CodePolicy, "add it to listen.allowed_hosts if it is correct", "unknown host name %q of this daemon", hostname(r.Host))
	}
	if len(r.URL.RawQuery) > maxQuery {
		return withStatus(http.StatusRequestURITooLong, fleet.CodeInvalid, fmt.Sprintf("the limit is %d bytes", maxQuery), "the query is too long")
	}
	if r.URL.Path == healthPath {
		return nil // Says nothing about anyone.
	}
	var err error
	if info.peer, err = d.identify(r); err != nil {
		return err
	}
	because, err := reasonOf(r)
	if err != nil {
		return err
	}
	if info.who, err = d.server.people.Identify(info.peer.name, info.peer.uid, ""); err != nil {
		return err
	}
	if because != "" && !info.who.Platform() {
		return platformOnly("override sharing")
	}
	info.who.Because = because
	info.again = func() (fleet.Identity, error) {
		p, err := d.identify(r)
		if err != nil {
			return fleet.Identity{}, err
		}
		who, err := d.server.people.Identify(p.name, p.uid, "")
		who.Because = because
		return who, err
	}
	return nil
}

// maxReason bounds why somebody uses the platform role, in bytes.
const maxReason = 200

// reasonOf is why a request uses the platform role on what is not its caller's; "" when it does not.
func reasonOf(r *http.Request) (string, error) {
	given := r.Header.Values(wire.AsPlatform)
	if len(given) == 0 {
		return "", nil
	}
	reason := strings.TrimSpace(given[0])
	if len(given) > 1 || reason == "" || len(reason) > maxReason || !utf8.ValidString(reason) ||
		strings.ContainsFunc(reason, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return "", problem(fleet.CodeInvalid, "give the reason for using the platform role in one line", "%s is not a reason of 1 to %d bytes of printable text", wire.AsPlatform, maxReason)
	}
	return reason, nil
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
			Detail: "internal error, see the log", Code: string(fleet.CodeInternal),
			Hint: fmt.Sprintf("check the log of bothyd for request %s", info.id),
		})
	}
}
