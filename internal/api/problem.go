package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// retryAfter is when to try again what is not ready yet, in seconds: a create takes about one, a hand-over less.
const retryAfter = 1

// statuses is the one table from error code to HTTP status.
var statuses = map[fleet.Code]int{
	fleet.CodeInvalid:         http.StatusUnprocessableEntity,
	fleet.CodeNotFound:        http.StatusNotFound,
	fleet.CodeConflict:        http.StatusConflict,
	fleet.CodeNotReady:        http.StatusConflict,
	fleet.CodeQuota:           http.StatusTooManyRequests,
	fleet.CodePolicy:          http.StatusForbidden,
	fleet.CodeDenied:          http.StatusForbidden,
	fleet.CodeUnauthenticated: http.StatusUnauthorized,
	fleet.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	fleet.CodeUnavailable:     http.StatusServiceUnavailable,
	fleet.CodeProvision:       http.StatusBadGateway,
	fleet.CodeInternal:        http.StatusInternalServerError,
}

// narrower are codes that share the status of a wider one: an error of that status that has no code is of the wider one.
var narrower = []fleet.Code{fleet.CodeDenied, fleet.CodeNotReady}

// Codes lists every error code that an answer may carry, sorted.
func Codes() []fleet.Code { return slices.Sorted(maps.Keys(statuses)) }

// StatusOf gives the HTTP status of an error code; 500 for one that is not in the table.
func StatusOf(code fleet.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// codeOfStatus is the way back, for errors that the HTTP layers below find themselves.
func codeOfStatus(status int) fleet.Code {
	for code, s := range statuses {
		if s == status && !slices.Contains(narrower, code) {
			return code
		}
	}
	switch {
	case status == http.StatusRequestTimeout:
		return fleet.CodeUnavailable
	case status >= 400 && status < 500:
		return fleet.CodeInvalid
	}
	return fleet.CodeInternal
}

// problem makes a Problem of a code.
func problem(code fleet.Code, hint, format string, args ...any) *wire.Problem {
	return withStatus(StatusOf(code), code, hint, fmt.Sprintf(format, args...))
}

func withStatus(status int, code fleet.Code, hint, detail string) *wire.Problem {
	p := &wire.Problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: string(code), Hint: hint}
	if code == fleet.CodeNotReady {
		p.RetryAfter = retryAfter
	}
	return p
}

// problemAbout is an error of a use case with a hint, and the values of the request that it is about.
func problemAbout(e *fleet.Error, hint string) *wire.Problem {
	p := problem(e.Code, hint, "%s", e.Sentence)
	for _, f := range e.Fields {
		p.Fields = append(p.Fields, wire.ProblemField{Field: cut(fieldOf(f.Path), echoLimit), Message: f.Message})
	}
	return p
}

// fieldOf is the key path in a request's body of what the use case calls by another word.
func fieldOf(path string) string {
	switch path {
	case "ttl", "idle":
		return path + "_seconds"
	}
	return path
}

// problemOf turns any error into what may be shown. Faults of our own are
// logged with the request's id, and only that id is shown.
func problemOf(ctx context.Context, err error) *wire.Problem {
	if p, ok := errors.AsType[*wire.Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Code != fleet.CodeInternal {
		requestOf(ctx).log.Debug("request refused", "code", e.Code, "error", err, "cause", e.Err)
		hint := e.Hint
		if hint == "" && e.Code == fleet.CodeNotFound {
			hint = whereToLook(requestOf(ctx).path)
		}
		return problemAbout(e, hint)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return problem(fleet.CodeUnavailable, "retry, and run: bothy doctor", "bothyd did not answer in time")
	}
	r := requestOf(ctx)
	level := slog.LevelError
	if ctx.Err() != nil {
		level = slog.LevelDebug // The client left, and nobody reads the answer.
	}
	r.log.Log(ctx, level, "request failed", "error", err)
	return problem(fleet.CodeInternal, fmt.Sprintf("check the log of bothyd for request %s", r.id), "internal error, see the log")
}

// lists are the commands that list existing objects, by the path of a missing one.
var lists = []struct{ path, hint string }{
	{"/v1/environments/", "bothy ls --all"},
	{"/v1/events", "bothy ls --all"},
	{"/v1/pools/", "bothy pool ls"},
	{"/v1/hosts/", "bothy host ls"},
	{"/v1/quotas/", "bothy quota ls"},
	{"/v1/environments", "bothy blueprint ls"},
	{"/v1/quote", "bothy blueprint ls"},
	{"/v1/blueprints/", "bothy blueprint ls"},
	{"/v1/rates/", "bothy blueprint ls"},
}

// whereToLook is the hint of an error that says that something is not there and has none of its own.
func whereToLook(path string) string {
	for _, l := range lists {
		if strings.HasPrefix(path, l.path) {
			return l.hint
		}
	}
	return ""
}

// fail answers with err as a problem.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(r.Context(), err)
	body, err := json.Marshal(p)
	if err != nil {
		// Only an echoed value can do that; the rest is text and numbers.
		p.Errors = nil
		body, _ = json.Marshal(p)
	}
	w.Header().Set("Content-Type", wire.ProblemType)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="bothyd"`)
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // Who does not stay for the answer misses it.
}

// huma takes its error type from package variables. This package is the only
// one that uses huma, so they are set once, here.
func init() {
	huma.DefaultArrayNullable = false // A list of nothing is [].
	huma.ValidateStrictCasing = true  // A key has one spelling.
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return humaProblem(status, msg, errs)
	}
	huma.NewErrorWithContext = func(hctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		if status < http.StatusInternalServerError {
			return humaProblem(status, msg, errs)
		}
		if readFailed(msg) {
			return problem(fleet.CodeInvalid, "retry", "incomplete request body")
		}
		err := errors.Join(errs...)
		if err == nil {
			err = errors.New(msg)
		}
		p := problemOf(hctx.Context(), err)
		if p.RetryAfter > 0 {
			hctx.SetHeader("Retry-After", strconv.Itoa(p.RetryAfter))
		}
		return p
	}
}

// readFailed recognises huma's answer to a body that cannot be read, which is the sender's doing.
func readFailed(msg string) bool { return msg == "cannot read request body" }

// Bounds of an error's answer, whatever the request was.
const (
	// maxPlaces is how many wrong places an answer tells.
	maxPlaces = 20
	// echoLimit is the longest wrong value, and the longest place, in bytes, that an answer repeats; sayLimit the longest message.
	echoLimit = 100
	sayLimit  = 500
)

// echoed are the places of a request whose wrong value an answer repeats, beside those of the path and the query. Everything
// else may hold a secret, or a secret that was put into the wrong place.
var echoed = regexp.MustCompile(`^body\.(blueprint|size|name|team|share|with|(ttl|idle|queue_timeout|by)_seconds|target|min|max|surge|pause|no_queue|no_pool|all|` +
	`schedule\[\d+\](\.(days\[\d+\]|from|until|target))?|environments|milli_cpus|memory_mib|seconds_per_day|micros_per_(day|month|hour)|max_ttl_seconds|currency|from)$`)

// echo gives what an answer repeats of a wrong value: short ones of places that hold no secrets.
func echo(place string, v any) any {
	if !strings.HasPrefix(place, "query.") && !strings.HasPrefix(place, "path.") && !echoed.MatchString(place) {
		return nil
	}
	switch v := v.(type) {
	case string:
		return cut(v, echoLimit)
	case bool, float64, int, int64:
		return v
	}
	return nil
}

// cut shortens a text that an answer repeats, by whole letters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func humaProblem(status int, msg string, errs []error) *wire.Problem {
	p := withStatus(status, codeOfStatus(status), "", cut(msg, sayLimit))
	wrong := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		if wrong++; wrong > maxPlaces {
			continue
		}
		place := wire.ProblemPlace{Message: cut(err.Error(), sayLimit)}
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			place = wire.ProblemPlace{Location: cut(detail.Location, echoLimit), Message: cut(detail.Message, sayLimit), Value: echo(detail.Location, detail.Value)}
		}
		p.Errors = append(p.Errors, place)
	}
	if len(p.Errors) > 0 {
		first := p.Errors[0]
		p.Detail = "invalid request: " + first.Message
		if first.Location != "" {
			p.Detail = fmt.Sprintf("invalid request: %s: %s", first.Location, first.Message)
		}
		if more := wrong - 1; more > 0 {
			p.Detail += fmt.Sprintf(" (and %d more)", more)
		}
		p.Hint = "see /openapi.json"
	}
	if status == http.StatusRequestEntityTooLarge {
		p.Hint = fmt.Sprintf("the limit is %d bytes per request", maxBody)
	}
	return p
}
