package api_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api"
)

// A member's wrong body at a route of the platform role is refused for the role, and none of the body is read: it is never
// sent here, and the answer comes all the same.
func TestTheRoleIsAskedBeforeTheBody(t *testing.T) {
	d := newDouble()
	dir, people := withPeople(t)
	r := start(t, d, people)
	for route, rule := range routes {
		if rule.access != platform || rule.body == "" {
			continue
		}
		method, path, _ := strings.Cut(route, " ")
		path = fill.Replace(path)
		for name, body := range map[string]string{
			"wrong": `{"nope":1}`, "no JSON": `{`, "too long": strings.Repeat("x", 2<<20), "none of it": "", "valid": rule.body,
		} {
			resp, text := rawTLS(t, dir, r.server.Addr(), method, path, "ada", body)
			if resp.StatusCode != http.StatusForbidden || problemIn(t, resp, text).Code != "policy" || strings.Contains(text, "nope") {
				t.Fatalf("%s, %s body: %d %s", route, name, resp.StatusCode, text)
			}
		}
	}
	if len(d.calls) != 0 {
		t.Errorf("the engine was asked: %v", d.calls)
	}
}

// rawTLS sends a request whose head promises a megabyte, and then body, which may be less.
func rawTLS(t *testing.T, dir string, addr net.Addr, method, path, user, body string) (*http.Response, string) {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr.String(), trust(t, dir).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", method, path, addr, user)
	go func() { _, _ = io.WriteString(conn, body) }() // the server may hang up on it
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// Every operation says in the document what it needs, as the table of the matrix has it.
func TestEveryRouteSaysWhatItNeeds(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]map[string]any
	}
	if err := json.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths {
		for method, op := range item {
			route := strings.ToUpper(method) + " " + path
			if got, want := op["x-bothy-access"], string(routes[route].access); got != want {
				t.Errorf("%s needs %v, want %q", route, got, want)
			}
			if text, _ := op["description"].(string); !strings.Contains(text, "Who may: ") {
				t.Errorf("%s does not say who may: %q", route, text)
			}
		}
	}
}

// A role is asked for at the route alone: no use case asks for it again, but for what whoever has it may find.
func TestNoUseCaseAsksForARole(t *testing.T) {
	var files []string
	for _, dir := range []string{"../service", "../engine/acquire"} { // what routes call
		all, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(all), err)
		}
		files = append(files, all...)
	}
	asked := map[string]int{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), ".Platform()") + strings.Count(string(text), "RolePlatform") + strings.Count(string(text), ".Role "); n > 0 {
			asked[filepath.Base(f)] = n
		}
	}
	// One chooses the hint of a refusal, the other what names are looked for.
	if diff := cmp.Diff(map[string]int{"access.go": 2}, asked); diff != "" {
		t.Errorf("a use case asks for a role (-want +got):\n%s", diff)
	}
}

// There is one way to a route, which takes what it needs.
func TestNoRouteIsRegisteredPastTheDoor(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "huma" && (sel.Sel.Name == "Register" || sel.Sel.Name == "Get" || sel.Sel.Name == "Put" || sel.Sel.Name == "Post" || sel.Sel.Name == "Delete") {
					if calls++; f.Name() != "access.go" {
						t.Errorf("%s registers a route by itself", f.Name())
					}
				}
			}
			return true
		})
	}
	if calls != 1 {
		t.Errorf("%d calls of huma.Register, want 1", calls)
	}
}
