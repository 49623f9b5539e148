package auth_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/auth"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

const organisation = `version: 1
platform: [ada]
tenants:
  zoo:
    teams:
      web: {weight: 3, members: [cid, ada@example.com]}
  acme:
    teams:
      core: {weight: 2, members: [ada, bob]}
      web: {members: [bob, _apt]}
`

func put(t *testing.T, path, content string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "organisation.yaml")
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, content string) (*auth.Directory, string) {
	t.Helper()
	path := put(t, "", content)
	d, err := auth.OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func TestTheFileSaysWhoIsWho(t *testing.T) {
	d, _ := open(t, organisation)
	for _, c := range []struct {
		user, team string
		want       fleet.Identity
	}{
		{"ada", "", fleet.Identity{User: "ada", Tenant: "acme", Team: "core", Teams: []string{"core"}, Role: fleet.RolePlatform, Share: fleet.ShareTeam}},
		{"bob", "", fleet.Identity{User: "bob", Tenant: "acme", Team: "core", Teams: []string{"core", "web"}, Role: fleet.RoleMember, Share: fleet.ShareTeam}},
		{"bob", "web", fleet.Identity{User: "bob", Tenant: "acme", Team: "web", Teams: []string{"core", "web"}, Role: fleet.RoleMember, Share: fleet.ShareTeam}},
		{"_apt", "", fleet.Identity{User: "_apt", Tenant: "acme", Team: "web", Teams: []string{"web"}, Role: fleet.RoleMember, Share: fleet.ShareTeam}},
		{"ada@example.com", "web", fleet.Identity{User: "ada@example.com", Tenant: "zoo", Team: "web", Teams: []string{"web"}, Role: fleet.RoleMember, Share: fleet.ShareTeam}},
	} {
		// The file alone says it: neither root nor the daemon's own user is more than it says.
		for _, uid := range []int{auth.NoUID, 0, os.Geteuid(), 4242} {
			got, err := d.Identify(c.user, uid, c.team)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s for %q: %v (-want +got):\n%s", c.user, c.team, err, diff)
			}
		}
	}
	want := []fleet.Weight{{Tenant: "acme", Team: "core", Weight: 2}, {Tenant: "acme", Team: "web", Weight: 1}, {Tenant: "zoo", Team: "web", Weight: 3}}
	if diff := cmp.Diff(want, d.Weights()); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
}

// What is shared when a request does not say: what the tenant says, else what the organisation says, else with the team.
func TestTheFileSaysWithWhomIsSharedByDefault(t *testing.T) {
	const tenants = "tenants: {a: {teams: {c: {members: [x]}}}, b: {share: tenant, teams: {c: {members: [y]}}}}\n"
	for head, want := range map[string][2]fleet.Share{
		"version: 1\n":                {fleet.ShareTeam, fleet.ShareTenant},
		"version: 1\nshare: nobody\n": {fleet.ShareNobody, fleet.ShareTenant},
	} {
		d, _ := open(t, head+tenants)
		for i, user := range []string{"x", "y"} {
			if who, err := d.Identify(user, auth.NoUID, ""); err != nil || who.Share != want[i] {
				t.Errorf("%q: %s shares with %q, want %q (%v)", head, user, who.Share, want[i], err)
			}
		}
	}
}

func TestWhoIsNotInTheFileOrNotInTheTeamIsRefused(t *testing.T) {
	d, _ := open(t, organisation)
	for _, c := range []struct{ user, team, want, hint string }{
		{"root", "", "root is not a member of any team", "platform team"},
		{"uid-4242", "", "uid-4242 is not a member of any team", "platform team"},
		{"", "", " is not a member of any team", "platform team"},
		{"ADA", "", "ADA is not a member of any team", "platform team"},
		{"cid", "core", `cid is not a member of team "core"`, "teams of cid: web"},
		{"ada", "web", `ada is not a member of team "web"`, "teams of ada: core"},
		{"bob", "acme/web", `bob is not a member of team "acme/web"`, "teams of bob: core, web"},
	} {
		got, err := d.Identify(c.user, 0, c.team)
		var e *fleet.Error
		if !errors.As(err, &e) || e.Code != fleet.CodePolicy || e.Sentence != c.want || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%q for %q: %+v, want %q", c.user, c.team, e, c.want)
		}
		if diff := cmp.Diff(fleet.Identity{}, got); diff != "" {
			t.Errorf("%q for %q is somebody all the same: %s", c.user, c.team, diff)
		}
	}
}

func TestWithoutAFileAllAreOneTenantAndTheDaemonsUserIsThePlatform(t *testing.T) {
	d, err := auth.OpenDirectory("")
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[int]fleet.Role{0: fleet.RolePlatform, os.Geteuid(): fleet.RolePlatform, os.Geteuid() + 4242: fleet.RoleMember, auth.NoUID: fleet.RoleMember} {
		got, err := d.Identify("eve", uid, "")
		if diff := cmp.Diff(fleet.Identity{User: "eve", Tenant: "default", Team: "default", Teams: []string{"default"}, Role: want, Share: fleet.ShareNobody}, got); diff != "" || err != nil {
			t.Errorf("uid %d: %v (-want +got):\n%s", uid, err, diff)
		}
	}
	if _, err := d.Identify("eve", 0, "core"); fleet.CodeOf(err) != fleet.CodePolicy {
		t.Errorf("a team that is not there: %v", err)
	}
	if d.Weights() != nil || d.Err() != nil {
		t.Errorf("weights %v, error %v", d.Weights(), d.Err())
	}
}

// A typo of the platform team locks nobody out: what the file said before holds until it is right again.
func TestAWrongFileLeavesTheLastGoodOneInForce(t *testing.T) {
	d, path := open(t, organisation)
	role := func(user string) fleet.Role {
		who, err := d.Identify(user, auth.NoUID, "")
		if err != nil && fleet.CodeOf(err) != fleet.CodePolicy {
			t.Errorf("%s: %v", user, err)
		}
		return who.Role
	}
	for _, step := range []struct {
		name     string
		change   func() error
		ada, bob fleet.Role
		err      string
	}{
		{"as it was", func() error { return nil }, fleet.RolePlatform, fleet.RoleMember, ""},
		{"a typo", func() error { return os.WriteFile(path, []byte("version: 1\ntenant: {}\n"), 0o600) }, fleet.RolePlatform, fleet.RoleMember, path + ":2:1: tenant: got an unknown key"},
		{"empty", func() error { return os.WriteFile(path, nil, 0o600) }, fleet.RolePlatform, fleet.RoleMember, path + ":1:1"},
		{"others may write", func() error {
			return errors.Join(os.WriteFile(path, []byte(strings.Replace(organisation, "[ada]", "[bob]", 1)), 0o600), os.Chmod(path, 0o622))
		}, fleet.RolePlatform, fleet.RoleMember, "mode 0622, so others may change it: chmod 644"},
		{"closed again", func() error { return os.Chmod(path, 0o644) }, fleet.RoleMember, fleet.RolePlatform, ""},
		{"gone", func() error { return os.Remove(path) }, fleet.RoleMember, fleet.RolePlatform, "no such file"},
		{"back, without bob", func() error {
			return os.WriteFile(path, []byte("version: 1\ntenants: {acme: {teams: {core: {members: [ada]}}}}\n"), 0o600)
		}, fleet.RoleMember, "", ""},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		if ada, bob := role("ada"), role("bob"); ada != step.ada || bob != step.bob {
			t.Errorf("%s: ada %q, bob %q; want %q, %q", step.name, ada, bob, step.ada, step.bob)
		}
		if err := d.Err(); (err == nil) != (step.err == "") || (err != nil && !strings.Contains(err.Error(), step.err)) {
			t.Errorf("%s: %v, want %q", step.name, err, step.err)
		}
	}
}

// Each turn of the file is logged once, whoever sees it first and however often it is asked.
func TestTheFilesTurnsAreLoggedOnce(t *testing.T) {
	d, path := open(t, organisation)
	var log bytes.Buffer
	d.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	ask := func(want ...string) {
		t.Helper()
		for range 3 {
			_, _ = d.Identify("ada", auth.NoUID, "")
			d.Weights()
			_ = d.Err()
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		log.Reset()
		if len(want) == 0 {
			want = []string{""}
		}
		for i, w := range want {
			if len(lines) != len(want) || !strings.Contains(lines[i], w) {
				t.Errorf("logged %q, want %q", lines, want)
			}
		}
	}
	ask()
	put(t, path, "version: 2\n")
	ask("level=ERROR msg=\"invalid organisation file, using the last valid content\"")
	ask()
	put(t, path, "version: 3\n")
	ask("got 3")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ask("no such file")
	put(t, path, organisation)
	ask("level=INFO msg=\"reloaded the organisation file\"")
	ask()
}

func TestAWrongFileIsAnErrorAtTheStart(t *testing.T) {
	if _, err := auth.OpenDirectory(filepath.Join(t.TempDir(), "nix")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := auth.OpenDirectory(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestEveryWrongPlaceIsTold(t *testing.T) {
	for content, want := range map[string][]string{
		"":                          {":1:1: got nothing, want a map"},
		"version: 1\n":              {":1:1: tenants: got nothing, want this key: it is required"},
		"version: 2\ntenants: {}\n": {":1:10: version: got 2, want 1, the only version", ":2:10: tenants: got a map, want at least one tenant"},
		"version: 1\ntenants: {Acme: {teams: {core: {members: []}}}}\n":                             {":2:11: tenants.Acme: got this key, want a tenant name of up to 63"},
		"version: 1\ntenants: {a: {teams: {}}}\n":                                                   {":2:22: tenants.a.teams: got a map, want at least one team"},
		"version: 1\ntenants: {a: {team: {}}}\n":                                                    {`:2:15: tenants.a.team: got an unknown key, want "teams"`, ":2:14: tenants.a.teams: got nothing"},
		"version: 1\nshare: all\ntenants: {a: {teams: {c: {members: [x]}}}}\n":                      {`:2:8: share: got "all", want nobody, team or tenant`},
		"version: 1\ntenants: {a: {share: true, teams: {c: {members: [x]}}}}\n":                     {":2:22: tenants.a.share: got true, want nobody, team or tenant"},
		"version: 1\ntenants: {a: {teams: {c: {weight: 0, members: [x]}}}}\n":                       {":2:35: tenants.a.teams.c.weight: got 0, want a whole number from 1 to 1000"},
		"version: 1\ntenants: {a: {teams: {c: {weight: 1.5, members: [x]}}}}\n":                     {"weight: got 1.5, want a whole number"},
		"version: 1\ntenants: {a: {teams: {c: {weight: -1, members: [x]}}}}\n":                      {"weight: got -1, want a whole number"},
		"version: 1\ntenants: {a: {teams: {c: {weight: 99999999999999999999, members: [x]}}}}\n":    {"weight: got 99999999999999999999, want a decimal number that fits"},
		"version: 1\ntenants: {a: {teams: {c: {members: [x, x]}}}}\n":                               {`members[1]: got "x", want each member once`},
		"version: 1\ntenants: {a: {teams: {c: {members: ['x y']}}}}\n":                              {`members[0]: got "x y", want a user name`},
		"version: 1\ntenants: {a: {teams: {c: {members: [12]}}}}\n":                                 {"members[0]: got 12, want a user name"},
		"version: 1\ntenants: {a: {teams: {c: {members: [x]}}}, b: {teams: {c: {members: [x]}}}}\n": {"tenants.b.teams.c.members[0]: got \"x\", want a user of tenant b only; x is in tenant a"},
		"version: 1\nplatform: [y, x, x]\ntenants: {a: {teams: {c: {members: [x]}}}}\n":             {`:2:12: platform[0]: got "y", want a member of one of the teams`, `:2:18: platform[2]: got "x", want each user once`},
		"version: 1\nplatform: x\ntenants: {a: {teams: {c: {members: [x]}}}}\n":                     {`platform: got "x", want a list`},
		"version: 1\ntenants: {a: {teams: {c: {members: [x]}, c: {members: [y]}}}}\n":               {"got this key a second time"},
	} {
		path := put(t, "", content)
		_, err := auth.OpenDirectory(path)
		var wrong strictyaml.Errors
		if !errors.As(err, &wrong) {
			t.Errorf("%q: %v", content, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q:\n%v\nwant %s", content, err, w)
			}
		}
	}
}

func TestALargeOrganisationFits(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\ntenants: {acme: {teams: {core: {members: [")
	for i := range 9000 {
		b.WriteString("user" + strings.Repeat("x", i%3) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + ", ")
	}
	b.WriteString("last]}}}}\n")
	d, _ := open(t, b.String())
	if _, err := d.Identify("last", auth.NoUID, ""); err != nil {
		t.Error(err)
	}
}

// Whatever the file is: no panic, and whoever is let in has a tenant, a team of theirs and a role.
func FuzzOrganisation(f *testing.F) {
	f.Add(organisation)
	f.Add("version: 1\ntenants: {a: {teams: {c: {members: [x]}}}}\n")
	f.Add("platform: [x]\nversion: 1\n")
	f.Add("{")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(dir, "o.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := auth.OpenDirectory(path)
		if err != nil {
			return
		}
		for _, user := range []string{"ada", "x", "", "root"} {
			who, err := d.Identify(user, 0, "")
			if err == nil && (user == "" || who.User != user || who.Tenant == "" || who.Team == "" || who.Role == "" || who.Team != who.Teams[0]) {
				t.Errorf("%q is %+v", user, who)
			}
		}
		for _, w := range d.Weights() {
			if w.Tenant == "" || w.Team == "" || w.Weight < 1 {
				t.Errorf("weight %+v", w)
			}
		}
	})
}
