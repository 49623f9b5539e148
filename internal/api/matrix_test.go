package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/auth"
)

// organisation has a member and a platform user of tenant acme, and a member of another tenant. Each has
// a token that is called as they are; mallory has one and is in no team.
const organisation = `version: 1
platform: [root]
tenants:
  acme:
    teams:
      core: {weight: 2, members: [ada, root]}
      web: {members: [ada]}
  other:
    teams:
      core: {members: [bob]}
`

// withPeople is a TLS listener for these users.
func withPeople(t *testing.T) (dir string, adjust func(*api.Config)) {
	t.Helper()
	dir, tcp := withTCP(t)
	var tokens string
	for _, user := range []string{"ada", "root", "bob", "mallory"} {
		tokens += tokenLine(user, user)
	}
	put(t, dir, "tokens", tokens)
	people, err := auth.OpenDirectory(put(t, dir, "organisation.yaml", organisation))
	if err != nil {
		t.Fatal(err)
	}
	return dir, func(c *api.Config) {
		tcp(c)
		c.People = people
	}
}

// access is who may use a route.
type access int

const (
	// open is for everybody, even without a token.
	open access = iota
	// known is for every user of a tenant; what they see is their own.
	known
	// own is about one environment or quota of tenant acme, which is not there for another tenant.
	own
	// platform is for the platform role.
	platform
)

// routes says of every route who may use it, and with what body; a route that is not here fails the test.
var routes = map[string]struct {
	access access
	body   string
}{
	"GET /healthz":                             {open, ""},
	"GET /readyz":                              {known, ""},
	"GET /v1/version":                          {known, ""},
	"GET /v1/doctor":                           {known, ""},
	"GET /v1/blueprints":                       {known, ""},
	"GET /v1/blueprints/{name}":                {known, ""},
	"POST /v1/environments":                    {known, "{}"},
	"POST /v1/quote":                           {known, "{}"},
	"GET /v1/environments":                     {known, ""},
	"GET /v1/events":                           {known, ""},
	"GET /v1/events/follow":                    {known, ""},
	"GET /v1/environments/{env}":               {own, ""},
	"DELETE /v1/environments/{env}":            {own, ""},
	"POST /v1/environments/{env}/extend":       {own, `{"by_seconds":60}`},
	"POST /v1/environments/{env}/touch":        {own, ""},
	"GET /v1/environments/{env}/why":           {own, ""},
	"GET /v1/environments/{env}/events":        {own, ""},
	"GET /v1/environments/{env}/watch":         {own, ""},
	"GET /v1/environments/{env}/logs":          {own, ""},
	"GET /v1/environments/{env}/receipt":       {own, ""},
	"GET /v1/environments/{env}/files?path=/a": {own, ""},
	"PUT /v1/environments/{env}/files":         {own, "tar"},
	"GET /v1/environments/{env}/exec":          {own, "websocket"},
	"GET /v1/pools":                            {known, ""},
	"GET /v1/pools/{pool}":                     {known, ""},
	"PUT /v1/pools/{pool}":                     {platform, `{"blueprint":"build","target":1,"min":0,"surge":0,"pause":false}`},
	"DELETE /v1/pools/{pool}":                  {platform, ""},
	"POST /v1/pools/{pool}/resume":             {platform, ""},
	"GET /v1/quotas":                           {known, ""},
	"GET /v1/quotas/{scope}":                   {own, ""},
	"PUT /v1/quotas/{scope}":                   {platform, "{}"},
	"GET /v1/rates":                            {known, ""},
	"PUT /v1/rates/{blueprint}/{size}":         {platform, `{"micros_per_hour":1}`},
	"GET /v1/cost":                             {known, ""},
	"GET /v1/receipts":                         {platform, ""},
	"GET /v1/receipts/key":                     {known, ""},
	"GET /v1/orphans":                          {platform, ""},
	"POST /v1/orphans/adopt":                   {platform, `{"all":true}`},
	"POST /v1/orphans/purge":                   {platform, `{"all":true}`},
	"GET /v1/hosts":                            {platform, ""},
	"POST /v1/hosts/{host}/drain":              {platform, ""},
	"POST /v1/hosts/{host}/undrain":            {platform, ""},
	"GET /v1/brake":                            {known, ""},
	"POST /v1/brake/release":                   {platform, ""},
}

// operations are the routes of the document, as "METHOD path".
func operations(t *testing.T) []string {
	t.Helper()
	var doc described
	if err := json.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	var all []string
	for path, item := range doc.Paths {
		for method := range item {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// Promise 13: every route, whoever asks. What the platform team alone may do is refused, another tenant's
// things are not there, and who is in no team gets nothing.
func TestEveryRouteForEveryRole(t *testing.T) {
	env := leased("otter")
	env.Tenant, env.Team = "acme", "core"
	d := newDouble().add(env)
	d.copyTo = func(_ context.Context, _, _ string, tar io.Reader) error {
		_, err := io.Copy(io.Discard, tar)
		return err
	}
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("tar")), nil
	}
	dir, people := withPeople(t)
	r := start(t, d, people)

	fill := strings.NewReplacer("{env}", "otter", "{name}", "build", "{pool}", "builders", "{scope}", "acme%2Fteam%2Fcore", "{blueprint}", "build", "{size}", "small", "{host}", "local")
	seen := map[string]bool{}
	for route, rule := range routes {
		method, path, _ := strings.Cut(route, " ")
		plain, _, _ := strings.Cut(route, "?")
		seen[plain] = true
		for user, want := range map[string]int{
			"":        wantStatus(rule.access, 401, 401, 401),
			"mallory": wantStatus(rule.access, 403, 403, 403),
			"bob":     wantStatus(rule.access, 200, 404, 403),
			"ada":     wantStatus(rule.access, 200, 200, 403),
			"root":    200,
		} {
			header := []string{"Content-Type", "application/json"}
			if user != "" {
				header = append(header, "Authorization", "Bearer "+user)
			}
			if rule.body == "websocket" {
				if want == 200 {
					want = http.StatusUpgradeRequired // The engine is asked only in a WebSocket; TestExecOfAnotherTenantFindsNothing does.
				} else if want == 404 {
					continue
				}
			}
			d.add(env) // It may have been given back.
			resp, body := send(t, trust(t, dir), method, "https://"+r.server.Addr().String()+fill.Replace(path), strings.NewReader(rule.body), header...)
			if got := resp.StatusCode; got != want && (want != 200 || got/100 != 2) {
				t.Errorf("%s by %q: %d, want %d: %s", route, user, got, want, body)
			}
			if want == 403 && problemIn(t, resp, body).Code != "policy" {
				t.Errorf("%s by %q: %s", route, user, body)
			}
			if want == 404 && (problemIn(t, resp, body).Code != "not_found" || strings.Contains(body, "acme\"")) {
				t.Errorf("%s by %q: %s", route, user, body)
			}
		}
	}
	for _, op := range operations(t) {
		if !seen[op] {
			t.Errorf("%s: nobody has said who may use it", op)
		}
	}
}

// wantStatus is the status for an open route, or that of one of the other kinds.
func wantStatus(a access, ofKnown, ofOwn, ofPlatform int) int {
	return []int{200, ofKnown, ofOwn, ofPlatform}[a]
}

func TestAListHoldsTheOwnTenantsOnly(t *testing.T) {
	env := leased("otter")
	env.Tenant = "acme"
	dir, people := withPeople(t)
	r := start(t, newDouble().add(env), people)
	for user, want := range map[string]bool{"ada": true, "root": true, "bob": false} {
		_, body := send(t, trust(t, dir), "GET", "https://"+r.server.Addr().String()+"/v1/environments", nil, "Authorization", "Bearer "+user)
		if strings.Contains(body, "otter") != want {
			t.Errorf("%s sees %s", user, body)
		}
	}
}

func TestARequestIsForTheTeamThatItNames(t *testing.T) {
	d := newDouble()
	dir, people := withPeople(t)
	r := start(t, d, people)
	for _, c := range []struct{ user, body, team string }{
		{"ada", `{"name":"a"}`, "core"},
		{"ada", `{"name":"b","team":"web"}`, "web"},
		{"bob", `{"name":"c","team":"web"}`, ""},
		{"root", `{"name":"d","team":"web"}`, ""},
	} {
		for path, ok := range map[string]int{"/v1/environments": http.StatusCreated, "/v1/quote": http.StatusOK} {
			asked := len(d.requests)
			resp, body := send(t, trust(t, dir), "POST", "https://"+r.server.Addr().String()+path, strings.NewReader(c.body), "Authorization", "Bearer "+c.user, "Content-Type", "application/json")
			if c.team == "" {
				if resp.StatusCode != http.StatusForbidden || len(d.requests) != asked {
					t.Errorf("%s %s by %s: %d %s", path, c.body, c.user, resp.StatusCode, body)
				}
				continue
			}
			if resp.StatusCode != ok {
				t.Fatalf("%s %s by %s: %d %s", path, c.body, c.user, resp.StatusCode, body)
			}
			if who := d.requests[asked].Who; who.User != c.user || who.Tenant != "acme" || who.Team != c.team {
				t.Errorf("%s %s by %s reached the engine as %+v", path, c.body, c.user, who)
			}
		}
	}
}
