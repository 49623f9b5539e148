package api_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// related has every relation that somebody can be in to an environment of ada's. bob's team has the name of ada's, in another tenant.
const related = `version: 1
platform: [root]
tenants:
  acme:
    teams:
      core: {members: [ada, cat]}
      web: {members: [dan]}
  other:
    teams:
      core: {members: [bob]}
  ops:
    teams:
      ops: {members: [root]}
`

// column is one kind of caller.
type column struct {
	name, user, tenant, team string
	// because is why they use the platform role; "" when they do not.
	because string
}

var columns = []column{
	{name: "nobody"},
	{name: "an unknown token", user: "wrong"},
	{name: "in no team", user: "mallory"},
	{name: "owner", user: "ada", tenant: "acme", team: "core"},
	{name: "same team", user: "cat", tenant: "acme", team: "core"},
	{name: "other team", user: "dan", tenant: "acme", team: "web"},
	{name: "other tenant", user: "bob", tenant: "other", team: "core"},
	{name: "platform", user: "root", tenant: "ops", team: "ops"},
	{name: "platform with a reason", user: "root", tenant: "ops", team: "ops", because: "incident 42"},
	{name: "a member with a reason", user: "ada", tenant: "acme", team: "core", because: "incident 42"},
}

// member reports whether a column may use what every member may.
func (c column) member() bool { return c.tenant != "" && (c.because == "" || c.user == "root") }

// thing is an environment, or a quota, or something that is not there.
type thing struct {
	wire.Environment
	// ref is how it is named; bare says that it is a name alone, which is looked for in the own tenant.
	what, ref string
	bare      bool
}

// finds reports whether the thing is there for a caller.
func (c column) finds(x thing) bool {
	if x.ID == "" {
		return false
	}
	return c.tenant == x.Tenant || (c.user == "root" && !x.bare)
}

// owns and uses are the relations, said anew: the engine's are what is tried.
func (c column) owns(x thing) bool {
	return c.tenant == x.Tenant && c.user == x.Owner || c.because != "" && c.user == "root"
}

func (c column) uses(x thing) bool {
	return c.owns(x) || c.tenant == x.Tenant && (x.Share == "tenant" || x.Share == "team" && c.team == x.Team)
}

// want is the status of a refusal, 0 for none.
func (c column) want(need access, x thing) int {
	switch {
	case need == open:
		return 0
	case c.user == "" || c.user == "wrong":
		return http.StatusUnauthorized
	case !c.member() || need == platform && c.user != "root":
		return http.StatusForbidden
	case (need == seen || need == used || need == owned) && !c.finds(x):
		return http.StatusNotFound
	case need == used && !c.uses(x), need == owned && !c.owns(x):
		return http.StatusForbidden
	}
	return 0
}

// world is a real engine with environments in every relation.
type world struct {
	*rig
	dir, base string
	// envs are by name in every form, quotas by scope; the last of each are nobody's.
	envs, quotas, others []thing
	transports           map[string]*http.Transport
}

func (w *world) as(c column) *client.Client {
	return w.clientOf(client.Options{Host: w.base, Token: cmp.Or(c.user, "none"), AsPlatform: c.because, CAFile: filepath.Join(w.dir, "cert.pem")})
}

// ready makes an environment, and deletes it again when it is to be gone.
func (w *world) ready(user, name, share string, gone bool) wire.Environment {
	w.t.Helper()
	c := w.as(column{user: user})
	env, _, err := c.Create(limited(w.t), wire.CreateRequest{Name: name, Share: share, Vars: map[string]string{"VISIBLE": "to-users-only"}, Secrets: map[string][]byte{"hidden": []byte("x")}}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	await := func(state string) {
		until(w.t, name+" is "+state, func() bool {
			if env, err = c.Get(limited(w.t), client.ID(env.ID)); err != nil {
				w.t.Fatal(err)
			}
			return env.State == state
		})
	}
	if await("leased"); gone {
		if _, err := c.Release(limited(w.t), client.ID(env.ID)); err != nil {
			w.t.Fatal(err)
		}
		await("destroyed")
	}
	return env
}

func newWorld(t *testing.T, adjust ...func(*api.Config)) *world {
	e, db := realEngine(t)
	dir, people := peopleOf(t, related, "ada", "cat", "dan", "bob", "root", "mallory")
	r := serve(t, servicesOf(e, shelf{t.TempDir()}), append(adjust, people)...)
	w := &world{rig: r, dir: dir, base: "https://" + r.server.Addr().String(), transports: map[string]*http.Transport{}}
	for _, c := range columns {
		tr := trust(t, dir)
		t.Cleanup(tr.CloseIdleConnections)
		w.transports[c.name] = tr
	}
	made := []wire.Environment{
		w.ready("ada", "shared", "", false), w.ready("ada", "private", "nobody", false), w.ready("ada", "open", "tenant", false), w.ready("ada", "past", "", true),
		w.ready("bob", "api", "tenant", false), w.ready("bob", "lost", "", true),
	}
	if made[0].Share != "team" {
		t.Fatalf("an environment is shared with %q by default", made[0].Share)
	}
	// Rows of older versions: of each tenant one that is named like its live one's id.
	for _, like := range []wire.Environment{made[0], made[4]} {
		row := fleet.Environment{ID: strings.Repeat(like.Tenant[:1], 16), Name: like.ID, Tenant: like.Tenant, Owner: "x", State: fleet.Pending, CreatedAt: time.Now(), Work: fleet.Work{NotBefore: time.Now().Add(time.Hour)}}
		if _, err := db.Admit(t.Context(), store.Admission{Env: row, Event: fleet.Event{At: time.Now(), EnvironmentID: row.ID, Kind: "environment.requested"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, env := range made {
		about := env.Owner + "'s " + env.Name + " (" + env.State + ", shared with " + env.Share + ")"
		w.envs = append(w.envs,
			thing{env, about + " by name", env.Name, true}, thing{env, about + " by id", env.ID, false}, thing{env, about + " as id", "id:" + env.ID, false},
			thing{env, about + " with tenant", env.Tenant + "/" + env.Name, false}, thing{env, about + " by id with tenant", env.Tenant + "/" + env.ID, false})
	}
	for _, ref := range []string{"nix", "aaaaaaaaaaaaaaa2", "id:aaaaaaaaaaaaaaa2", "nowhere/shared", "id:shared", "other/shared", "acme/api", "a/b/c", "acme/"} {
		w.envs = append(w.envs, thing{what: "nothing", ref: ref})
	}
	for _, scope := range []string{"acme", "acme/team/core", "acme/user/ada", "other", "other/team/core"} {
		tenant, _, _ := strings.Cut(scope, "/")
		w.quotas = append(w.quotas, thing{wire.Environment{ID: scope, Tenant: tenant}, "a quota", scope, false})
	}
	w.quotas = append(w.quotas, thing{wire.Environment{ID: "nowhere", Tenant: "nowhere"}, "no quota", "nowhere", false})
	w.others = []thing{{what: "what is there"}, {what: "what is not there", ref: "nix"}}
	return w
}

// Every route of the router, for every kind of caller, with every way to name one's own and others': who may not use a route is
// told so whatever they name, what one sees and may not use is refused, and what is another tenant's is answered as what does not exist:
// status, head and body. The engine, the store and the router are the real ones.
func TestEveryCellOfTheMatrix(t *testing.T) {
	w := newWorld(t)
	cells := map[access]int{}
	for _, late := range []bool{false, true} { // what deletes comes last
		for _, route := range routed(t, w.rig) {
			if rule := routes[route]; strings.HasPrefix(route, "DELETE") == late {
				for _, c := range columns {
					cells[rule.access] += w.row(route, c)
				}
			}
		}
	}
	total := 0
	for _, n := range cells {
		total += n
	}
	t.Logf("%d routes, %d kinds of caller, %d cells: %v", len(routes), len(columns), total, cells)
	if total < 5000 {
		t.Errorf("%d cells", total)
	}
}

// row asks a route for everything there is, as one kind of caller, and gives how often.
func (w *world) row(route string, c column) int {
	rule := routes[route]
	method, path, _ := strings.Cut(route, " ")
	about := w.others
	switch {
	case strings.Contains(path, "{env}"):
		about = w.envs
	case rule.access == seen:
		about = w.quotas
	case !strings.Contains(path, "{"):
		about = w.others[:1]
	}
	missing := map[int]answer{} // what is answered of nothing, by status
	for i := len(about) - 1; i >= 0; i-- {
		x := about[i]
		names := strings.NewReplacer("{env}", strings.ReplaceAll(x.ref, "/", "%2F"), "{scope}", strings.ReplaceAll(cmp.Or(x.ref, "acme"), "/", "%2F"))
		if x.ref != "" && rule.access != seen {
			names = strings.NewReplacer("{env}", strings.ReplaceAll(x.ref, "/", "%2F"), "{scope}", x.ref, "{name}", x.ref, "{pool}", x.ref, "{host}", x.ref, "{blueprint}", x.ref)
		}
		var got answer
		if rule.body == "websocket" {
			got = w.exec(c, x.ref)
		} else {
			got = w.ask(c, method, w.base+fill.Replace(names.Replace(asked(path))), strings.Replace(rule.body, "SHARE", cmp.Or(x.Share, "team"), 1))
		}
		at := fmt.Sprintf("%s by %s of %s (%s)", route, c.name, x.what, x.ref)
		w.judge(at, c.want(rule.access, x), got)
		if got.status == http.StatusForbidden && c.member() && (rule.access == used || rule.access == owned) && !told(got.body, x) {
			w.t.Errorf("%s does not tell whose it is and what to do: %s", at, got.body)
		}
		if got.status < 400 || c.want(rule.access, x) == 0 || c.finds(x) && rule.access != platform {
			continue
		}
		// Whatever it is that they may not have: the answer is one and the same.
		if x.ref != "" {
			got.body = strings.ReplaceAll(got.body, strings.TrimPrefix(x.ref, "id:"), "REF")
		}
		if strings.Contains(path, "{scope}") && got.status == http.StatusNotFound {
			tenant, _, _ := strings.Cut(x.ref, "/")
			got.body = strings.ReplaceAll(got.body, fmt.Sprintf(`\"%s\"`, tenant), `\"REF\"`)
		}
		if first, ok := missing[got.status]; !ok {
			missing[got.status] = got
		} else if got != first {
			w.t.Errorf("%s by %s: %s (%s) is answered otherwise than nothing:\n%+v\n%+v", route, c.name, x.what, x.ref, got, first)
		}
	}
	return len(about)
}

// judge compares an answer with what was to be.
func (w *world) judge(at string, want int, got answer) {
	refused := got.status == 401 || got.status == 403 || strings.Contains(got.body, "no environment") || strings.Contains(got.body, "no tenant")
	switch {
	case want == 0 && (refused || got.status >= 500 && got.status != 503):
		w.t.Errorf("%s: %d, and they may: %.300s", at, got.status, got.body)
	case want != 0 && got.status != want:
		w.t.Errorf("%s: %d, want %d: %.300s", at, got.status, want, got.body)
	case want == http.StatusForbidden && !strings.Contains(got.body, "policy") && !strings.Contains(got.body, "403"):
		w.t.Errorf("%s: %.300s", at, got.body)
	}
}

// told reports whether a refusal names the environment, its owner and the next thing to do.
func told(body string, x thing) bool {
	next := strings.Contains(body, "ask "+x.Owner) || strings.Contains(body, "--as-platform")
	return next && strings.Contains(body, "environment "+x.Name) && strings.Contains(body, x.Owner)
}

// answer is what of an answer does not depend on time.
type answer struct {
	status int
	head   string
	body   string
}

// ask sends one request and gives its answer, the body when it is a problem.
func (w *world) ask(c column, method, url, body string) answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel() // ends a stream
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.user != "" {
		req.Header.Set("Authorization", "Bearer "+c.user)
	}
	if c.because != "" {
		req.Header.Set(wire.AsPlatform, c.because)
	}
	resp, err := w.transports[c.name].RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 {
		return answer{status: resp.StatusCode}
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	problemIn(w.t, resp, string(data))
	for _, changes := range []string{"Date", "X-Request-Id", "Content-Length"} {
		resp.Header.Del(changes)
	}
	return answer{resp.StatusCode, fmt.Sprint(resp.Header), string(data)}
}

// exec opens an exec in a WebSocket and gives what its end would be as a status.
func (w *world) exec(c column, ref string) answer {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	_, err := w.as(c).Exec(ctx, ref, wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{})
	if err == nil {
		return answer{status: 200}
	}
	told, ok := errors.AsType[*client.Error](err)
	if !ok {
		w.t.Fatalf("exec of %s by %s: %v", ref, c.name, err)
	}
	text, _ := json.Marshal([]string{told.Sentence, told.Hint, told.Code})
	return answer{status: api.StatusOf(fleet.Code(told.Code)), body: string(text)}
}
