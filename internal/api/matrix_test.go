package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

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
	return peopleOf(t, organisation, "ada", "root", "bob", "mallory")
}

// peopleOf is a TLS listener for the users of an organisation, each with a token that is called as they are.
func peopleOf(t *testing.T, organisation string, users ...string) (dir string, adjust func(*api.Config)) {
	t.Helper()
	dir, tcp := withTCP(t)
	var tokens string
	for _, user := range users {
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
type access string

// The kinds of access, as the document names them.
const (
	// open is for everybody, even without a token.
	open access = "open"
	// known is for every user of a tenant; what they see is their own.
	known access = "member"
	// seen shows one environment or quota of a tenant's, which is not there for another tenant.
	seen access = "tenant"
	// used uses or deletes one environment, for its owner and whom it is shared with.
	used access = "use"
	// owned is for an environment's owner.
	owned access = "owner"
	// platform is for the platform role.
	platform access = "platform"
)

// routes says of every route who may use it, and with what body; a route that is not here fails the test.
var routes = map[string]struct {
	access access
	body   string
}{
	"GET /openapi.json":                  {known, ""},
	"GET /healthz":                       {open, ""},
	"GET /readyz":                        {known, ""},
	"GET /v1/version":                    {known, ""},
	"GET /v1/doctor":                     {known, ""},
	"GET /v1/blueprints":                 {known, ""},
	"GET /v1/blueprints/{name}":          {known, ""},
	"POST /v1/environments":              {known, "{}"},
	"POST /v1/quote":                     {known, "{}"},
	"GET /v1/environments":               {known, ""},
	"GET /v1/events":                     {known, ""},
	"GET /v1/events/follow":              {known, ""},
	"GET /v1/environments/{env}":         {seen, ""},
	"DELETE /v1/environments/{env}":      {used, ""},
	"POST /v1/environments/{env}/extend": {used, `{"by_seconds":1}`},
	"POST /v1/environments/{env}/touch":  {used, ""},
	"PUT /v1/environments/{env}/share":   {owned, `{"with":"SHARE"}`},
	"GET /v1/environments/{env}/why":     {seen, ""},
	"GET /v1/environments/{env}/events":  {seen, ""},
	"GET /v1/environments/{env}/watch":   {seen, ""},
	"GET /v1/environments/{env}/logs":    {used, ""},
	"GET /v1/environments/{env}/receipt": {seen, ""},
	"GET /v1/environments/{env}/files":   {used, ""},
	"PUT /v1/environments/{env}/files":   {used, "tar"},
	"GET /v1/environments/{env}/exec":    {used, "websocket"},
	"GET /v1/pools":                      {known, ""},
	"GET /v1/pools/{pool}":               {known, ""},
	"PUT /v1/pools/{pool}":               {platform, `{"blueprint":"build","target":1,"min":0,"surge":0,"pause":false}`},
	"DELETE /v1/pools/{pool}":            {platform, ""},
	"POST /v1/pools/{pool}/resume":       {platform, ""},
	"GET /v1/quotas":                     {known, ""},
	"GET /v1/quotas/{scope}":             {seen, ""},
	"PUT /v1/quotas/{scope}":             {platform, "{}"},
	"GET /v1/rates":                      {known, ""},
	"PUT /v1/rates/{blueprint}/{size}":   {platform, `{"micros_per_hour":1}`},
	"GET /v1/cost":                       {known, ""},
	"GET /v1/receipts":                   {platform, ""},
	"GET /v1/receipts/key":               {known, ""},
	"GET /v1/orphans":                    {platform, ""},
	"POST /v1/orphans/adopt":             {platform, `{"all":true}`},
	"POST /v1/orphans/purge":             {platform, `{"all":true}`},
	"GET /v1/hosts":                      {platform, ""},
	"POST /v1/hosts/{host}/drain":        {platform, ""},
	"POST /v1/hosts/{host}/undrain":      {platform, ""},
	"GET /v1/brake":                      {known, ""},
	"POST /v1/brake/release":             {platform, ""},
}

// asked puts the query that a route needs behind its path.
func asked(path string) string {
	if strings.HasSuffix(path, "/files") {
		return path + "?path=/a"
	}
	return path
}

// fill puts names into a route's path.
var fill = strings.NewReplacer("{env}", "otter", "{name}", "build", "{pool}", "builders", "{scope}", "acme%2Fteam%2Fcore", "{blueprint}", "build", "{size}", "small", "{host}", "local")

// routed are the routes of the router itself, as "METHOD path", sorted. The table has each of them, and no other.
func routed(t *testing.T, r *rig) []string {
	t.Helper()
	var all []string
	if err := chi.Walk(r.server.Routes(), func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		all = append(all, method+" "+path)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	for _, route := range all {
		if routes[route].access == "" {
			t.Fatalf("%s: nobody has said who may use it", route)
		}
	}
	if len(all) != len(routes) {
		t.Fatalf("the router has %d routes, the table %d", len(all), len(routes))
	}
	return all
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
