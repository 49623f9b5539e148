package api_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/fleet"
)

// constants gives the values of a file's string constants whose names begin with Code.
func constants(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") || len(spec.Values) == 0 {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return true
	})
	slices.Sort(values)
	return values
}

func TestTheTableOfStatusesIsComplete(t *testing.T) {
	var table []string
	for _, c := range api.Codes() {
		table = append(table, string(c))
	}
	if diff := cmp.Diff(constants(t, "../fleet/errors.go"), table); diff != "" {
		t.Errorf("fleet's codes and the table of statuses differ (-fleet +table):\n%s", diff)
	}
	if diff := cmp.Diff(table, constants(t, "wire/codes.go")); diff != "" {
		t.Errorf("the table of statuses and wire's codes differ (-table +wire):\n%s", diff)
	}
	shared := map[fleet.Code]fleet.Code{fleet.CodeNotReady: fleet.CodeConflict, fleet.CodeDenied: fleet.CodePolicy}
	seen := map[int]fleet.Code{}
	for _, c := range api.Codes() {
		status := api.StatusOf(c)
		if status < 400 || http.StatusText(status) == "" {
			t.Errorf("%s has status %d", c, status)
		}
		if wider, ok := shared[c]; ok {
			if status != api.StatusOf(wider) {
				t.Errorf("%s has status %d, want that of %s", c, status, wider)
			}
			continue
		}
		if other, ok := seen[status]; ok {
			t.Errorf("%s and %s share status %d", c, other, status)
		}
		for range 50 { // the table has no order
			if back := api.CodeOfStatus(status); back != c {
				t.Fatalf("status %d without a code is %s, want %s", status, back, c)
			}
		}
		seen[status] = c
	}
	if got := api.StatusOf("no such code"); got != http.StatusInternalServerError {
		t.Errorf("an unknown code has status %d", got)
	}
}

func TestEveryCodeOfTheEngineIsAnsweredAsAProblem(t *testing.T) {
	engine := newDouble()
	r := start(t, engine)
	for _, code := range api.Codes() {
		if code == fleet.CodeInternal {
			continue
		}
		engine.fail = fmt.Errorf("acquire: %w", fleet.Errorf(code, "it went %s", "wrong").WithHint("do better"))
		resp, body := r.raw("POST", "/v1/environments", strings.NewReader(`{}`))
		p := problemIn(t, resp, body)
		if resp.StatusCode != api.StatusOf(code) || p.Code != string(code) || p.Detail != "it went wrong" || p.Hint != "do better" {
			t.Errorf("code %s was answered as %d %+v", code, resp.StatusCode, p)
		}
	}
}

func TestAFaultOfOurOwnIsLoggedAndNeverShown(t *testing.T) {
	engine := newDouble()
	r := start(t, engine)
	for _, fault := range []error{errors.New("sqlite: secret path"), fleet.Errorf(fleet.CodeInternal, "secret path")} {
		engine.fail = fault
		for _, call := range [][3]string{
			{"POST", "/v1/environments", "{}"}, {"GET", "/v1/environments/x", ""}, {"GET", "/v1/environments/x/watch", ""},
			{"GET", "/v1/environments/x/logs", ""}, {"PUT", "/v1/environments/x/files", "tar"}, {"GET", "/v1/environments/x/files?path=/a", ""},
		} {
			resp, body := r.raw(call[0], call[1], strings.NewReader(call[2]))
			p := problemIn(t, resp, body)
			if resp.StatusCode != 500 || p.Code != "internal" || strings.Contains(body, "secret") {
				t.Errorf("%s %s: %d %s", call[0], call[1], resp.StatusCode, body)
			}
			id := resp.Header.Get("X-Request-Id")
			contains(t, p.Hint, id)
			line := ""
			for l := range strings.Lines(r.log.String()) {
				if strings.Contains(l, "request="+id) && strings.Contains(l, "level=ERROR") {
					line = l
				}
			}
			contains(t, line, "secret path")
		}
	}
}

func TestWhatTheRouterAndTheValidatorRefuseIsAProblemToo(t *testing.T) {
	r := start(t, newDouble().add(leased("otter")))
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code, detail, place      string
	}{
		{name: "no such route", method: "GET", path: "/v2/x", status: 404, code: "not_found", detail: "no route /v2/x"},
		{name: "no such environment", method: "GET", path: "/v1/environments/nix", status: 404, code: "not_found", detail: `no environment "nix"`},
		{name: "a name with odd letters", method: "GET", path: "/v1/environments/a%2Fb%20%22", status: 404, code: "not_found", detail: `no environment "a/b \""`},
		{name: "wrong method", method: "PUT", path: "/v1/environments/otter", status: 405, code: "invalid", detail: "PUT is not allowed"},
		{name: "no body", method: "POST", path: "/v1/environments", status: 400, code: "invalid", detail: "request body is required"},
		{name: "not JSON", method: "POST", path: "/v1/environments", body: "{", status: 400, code: "invalid", detail: "unexpected end of JSON"},
		{name: "wrong type", method: "POST", path: "/v1/environments", body: `{"ttl_seconds":"1h"}`, status: 422, code: "invalid", detail: "expected integer", place: "body.ttl_seconds"},
		{name: "unknown key", method: "POST", path: "/v1/environments", body: `{"sise":"small"}`, status: 422, code: "invalid", detail: "unexpected property", place: "body.sise"},
		{name: "missing key", method: "POST", path: "/v1/environments/otter/extend", body: `{}`, status: 422, code: "invalid", detail: "by_seconds", place: "body"},
		{name: "wrong query", method: "GET", path: "/v1/environments?limit=many", status: 422, code: "invalid", detail: "integer", place: "query.limit"},
		{name: "query out of bounds", method: "GET", path: "/v1/environments?limit=100000", status: 422, code: "invalid", detail: "1000", place: "query.limit"},
		{name: "unknown query", method: "GET", path: "/v1/environments?limits=3", status: 422, code: "invalid", detail: "unknown", place: "query.limits"},
		{name: "unknown state", method: "GET", path: "/v1/environments?state=cozy", status: 422, code: "invalid", detail: "expected", place: "query.state[0]"},
		{name: "wrong time", method: "GET", path: "/v1/environments/otter/logs?since=noon", status: 422, code: "invalid", detail: "since", place: "query.since"},
		{name: "no path", method: "GET", path: "/v1/environments/otter/files", status: 422, code: "invalid", detail: "required", place: "query.path"},
		{name: "exec without a WebSocket", method: "GET", path: "/v1/environments/otter/exec", status: 426, code: "invalid", detail: "WebSocket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := r.raw(c.method, c.path, strings.NewReader(c.body))
			p := problemIn(t, resp, body)
			if resp.StatusCode != c.status || p.Code != c.code {
				t.Errorf("got %d %s, want %d %s: %s", resp.StatusCode, p.Code, c.status, c.code, body)
			}
			contains(t, p.Detail, c.detail)
			if c.place != "" && (len(p.Errors) == 0 || p.Errors[0].Location != c.place) {
				t.Errorf("places %+v, want %s first", p.Errors, c.place)
			}
			if c.status == 405 && resp.Header.Get("Allow") != "DELETE, GET" {
				t.Errorf("Allow: %q", resp.Header.Get("Allow"))
			}
		})
	}
}

// TestWhatIsNotThereTellsWhereToLook: an error without a hint of its own gets that of its path; its own comes first.
func TestWhatIsNotThereTellsWhereToLook(t *testing.T) {
	d := newDouble()
	r := start(t, d)
	for _, c := range []struct{ method, path, body, hint string }{
		{"GET", "/v1/environments/nope", "", "bothy ls --all"},
		{"GET", "/v1/environments/nope/why", "", "bothy ls --all"},
		{"DELETE", "/v1/environments/nope", "", "bothy ls --all"},
		{"GET", "/v1/environments/nope/logs", "", "bothy ls --all"},
		{"GET", "/v1/environments/nope/files?path=/a", "", "bothy ls --all"},
		{"PUT", "/v1/environments/nope/files?path=/a", "tar", "bothy ls --all"},
		{"GET", "/v1/events?environment=nope", "", "bothy ls --all"},
		{"POST", "/v1/environments", `{"blueprint":"nope"}`, "bothy blueprint ls"},
		{"POST", "/v1/quote", `{"blueprint":"nope"}`, "bothy blueprint ls"},
		{"GET", "/v1/blueprints/nope", "", "bothy blueprint ls"},
		{"PUT", "/v1/rates/nope/small", `{"micros_per_hour":1,"currency":"USD"}`, "bothy blueprint ls"},
		{"GET", "/v1/pools/nope", "", "bothy pool ls"},
		{"GET", "/v1/quotas/default%2Fteam%2Fnope", "", "bothy quota ls"},
		{"POST", "/v1/hosts/nope/drain", "", "bothy host ls"},
	} {
		d.fail = fleet.Errorf(fleet.CodeNotFound, "it is not there")
		resp, body := r.raw(c.method, c.path, strings.NewReader(c.body), "Content-Type", "application/json")
		p := problemIn(t, resp, body)
		if resp.StatusCode != http.StatusNotFound || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%s %s: %d, hint %q; want one with %q: %s", c.method, c.path, resp.StatusCode, p.Hint, c.hint, body)
		}
		d.fail = fleet.Errorf(fleet.CodeNotFound, "it is not there").WithHint("its own")
		resp, body = r.raw(c.method, c.path, strings.NewReader(c.body), "Content-Type", "application/json")
		if p := problemIn(t, resp, body); c.path != "/v1/blueprints/nope" && p.Hint != "its own" {
			t.Errorf("%s %s: hint %q, want its own", c.method, c.path, p.Hint)
		}
	}
}

func TestABodyTooLargeIsRefused(t *testing.T) {
	r := start(t, newDouble())
	resp, body := r.raw("POST", "/v1/environments", io.MultiReader(strings.NewReader(`{"name":"`), strings.NewReader(strings.Repeat("x", 2<<20)), strings.NewReader(`"}`)))
	if p := problemIn(t, resp, body); resp.StatusCode != 413 || p.Code != "too_large" || p.Hint == "" {
		t.Errorf("got %d %+v", resp.StatusCode, p)
	}
	if len(r.engine.requests) != 0 {
		t.Error("the engine was asked")
	}
}

func TestAPanicIsAProblemAndTheServerLivesOn(t *testing.T) {
	engine := newDouble() // its exec, copyTo and copyFrom are nil functions
	r := start(t, engine)
	resp, body := r.raw("PUT", "/v1/environments/x/files", strings.NewReader("tar"))
	if p := problemIn(t, resp, body); resp.StatusCode != 500 || p.Code != "internal" || strings.Contains(body, "nil pointer") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	contains(t, r.log.String(), "nil pointer")
	contains(t, r.log.String(), "files.go")
	if resp, _ := r.raw("GET", "/healthz", nil); resp.StatusCode != 200 {
		t.Errorf("healthz after a panic: %d", resp.StatusCode)
	}
}
