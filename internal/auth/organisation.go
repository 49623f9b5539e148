package auth

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

// organisation is what the platform team's file says:
//
//	version: 1
//	platform: [ada]
//	share: team
//	tenants:
//	  acme:
//	    share: nobody
//	    teams:
//	      core: {weight: 2, members: [ada, bob]}
//	      web: {members: [cid, bob]}
//
// A user is in one tenant; the first team of theirs is the one that they ask for unless they say another. What they ask for is
// shared as share says, that of the tenant before that of all; with the team where neither is given.
type organisation struct {
	members map[string]member
	weights []fleet.Weight
	// share is the default of all, shares those of tenants that have one of their own.
	share  fleet.Share
	shares map[string]fleet.Share
}

type member struct {
	tenant   string
	teams    []string
	platform bool
}

const (
	organisationVersion = 1
	// maxValues bounds the file: some ten thousand users.
	maxValues = 20_000
	maxWeight = 1000

	wantUser   = `a user name of up to 64 letters, digits and "._@-"`
	wantWeight = "a whole number from 1 to 1000"
	wantShare  = "nobody, team or tenant"
)

var (
	wantVersion = fmt.Sprintf("%d, the only version", organisationVersion)

	groupName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	userName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$`)
)

// parseOrganisation reads the file; the error is of type strictyaml.Errors.
func parseOrganisation(file string, data []byte) (organisation, error) {
	doc, err := strictyaml.ParseUpTo(maxValues, file, data)
	if err != nil {
		return organisation{}, err
	}
	o := organisation{members: map[string]member{}, share: fleet.ShareTeam, shares: map[string]fleet.Share{}}
	o.read(doc.Root)
	if err := doc.Err(); err != nil {
		return organisation{}, err
	}
	slices.SortFunc(o.weights, func(a, b fleet.Weight) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Team, b.Team))
	})
	return o, nil
}

func (o *organisation) read(root *strictyaml.Node) {
	fields := root.Object("version", "platform", "share", "tenants")
	root.Missing(fields, "version", "tenants")
	if n := fields["version"]; n != nil {
		if v, ok := n.Int(wantVersion); ok && v != organisationVersion {
			n.Want("%s", wantVersion)
		}
	}
	if n := fields["share"]; n != nil {
		o.share = readShare(n)
	}
	if n := fields["tenants"]; n != nil {
		for _, f := range named(n, "tenant") {
			o.readTenant(f.Key, f.Value)
		}
	}
	if n := fields["platform"]; n != nil {
		o.readPlatform(n)
	}
}

// named gives a map's fields and reports keys that are no name.
func named(n *strictyaml.Node, what string) []strictyaml.Field {
	fields := n.Fields()
	if n.Kind == strictyaml.Map && len(fields) == 0 {
		n.Want("at least one %s", what)
	}
	for _, f := range fields {
		if !groupName.MatchString(f.Key) {
			n.FailKey(f, "this key", fmt.Sprintf(`a %s name of up to 63 of a-z, 0-9 and "-", starting with a letter or digit`, what))
		}
	}
	return fields
}

func (o *organisation) readTenant(tenant string, n *strictyaml.Node) {
	fields := n.Object("share", "teams")
	n.Missing(fields, "teams")
	if share := fields["share"]; share != nil {
		o.shares[tenant] = readShare(share)
	}
	if teams := fields["teams"]; teams != nil {
		for _, f := range named(teams, "team") {
			o.readTeam(tenant, f.Key, f.Value)
		}
	}
}

func readShare(n *strictyaml.Node) fleet.Share {
	v, ok := n.Str(wantShare)
	if ok && !fleet.Share(v).Valid() {
		n.Want(wantShare)
	}
	return fleet.Share(v)
}

// shareOf is what a tenant's environments are shared with by default.
func (o *organisation) shareOf(tenant string) fleet.Share { return cmp.Or(o.shares[tenant], o.share) }

func (o *organisation) readTeam(tenant, team string, n *strictyaml.Node) {
	fields := n.Object("weight", "members")
	n.Missing(fields, "members")
	weight := int64(1)
	if w := fields["weight"]; w != nil {
		v, ok := w.Int(wantWeight)
		if ok && (v < 1 || v > maxWeight) {
			w.Want(wantWeight)
		}
		weight = v
	}
	o.weights = append(o.weights, fleet.Weight{Tenant: tenant, Team: team, Weight: weight})
	if members := fields["members"]; members != nil {
		for _, m := range members.Items() {
			o.readMember(tenant, team, m)
		}
	}
}

func (o *organisation) readMember(tenant, team string, n *strictyaml.Node) {
	user, ok := n.Match(userName, wantUser)
	if !ok {
		return
	}
	m := o.members[user]
	switch {
	case m.tenant != "" && m.tenant != tenant:
		n.Want("a user of tenant %s only; %s is in tenant %s", tenant, user, m.tenant)
	case slices.Contains(m.teams, team):
		n.Want("each member once")
	default:
		m.tenant = tenant
		m.teams = append(m.teams, team)
		o.members[user] = m
	}
}

// readPlatform is called when all members are known.
func (o *organisation) readPlatform(n *strictyaml.Node) {
	for _, item := range n.Items() {
		user, ok := item.Match(userName, wantUser)
		if !ok {
			continue
		}
		m, known := o.members[user]
		switch {
		case !known:
			item.Want("a member of one of the teams")
		case m.platform:
			item.Want("each user once")
		default:
			m.platform = true
			o.members[user] = m
		}
	}
}
