package auth

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
)

// NoUID is the user id of somebody whom the kernel does not know: who comes over TCP.
const NoUID = -1

// Directory says who is in which tenant and team, and who is of the platform. Its file is read
// again when it changes; while it is wrong, what it said before holds, so that a typo locks nobody out.
type Directory struct {
	file *files.Fresh[organisation] // nil: everybody is of one team

	mu sync.Mutex
	// log receives changes between valid and invalid content; may be nil. wrong is the last logged error.
	log   *slog.Logger
	wrong string
}

// OpenDirectory reads the platform team's file. It must belong to this user or root, and nobody else may
// write in it. Without a path everybody is in one tenant and team, and the platform is who
// comes over the socket as root or as this process's user.
//
// Errors: those of the file, as strictyaml.Errors where they have a place.
func OpenDirectory(path string) (*Directory, error) {
	if path == "" {
		return &Directory{}, nil
	}
	d := &Directory{file: files.NewFresh(path, private(files.NoWriting), parseOrganisation)}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return d, nil
}

// LogTo says where it is logged, once each, that the file turned wrong and that it is right again. It is seen when
// somebody asks for something.
func (d *Directory) LogTo(log *slog.Logger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = log
}

// read gives what the file said when it was last right, and what is wrong with it now.
func (d *Directory) read() (organisation, error) {
	org, err := d.file.Get()
	wrong := ""
	if err != nil {
		wrong = err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.log != nil && wrong != d.wrong {
		if wrong != "" {
			d.log.Error("invalid organisation file, using the last valid content", "file", d.file.Path(), "error", err)
		} else {
			d.log.Info("reloaded the organisation file", "file", d.file.Path())
		}
		d.wrong = wrong
	}
	return org, err
}

// Identify gives who a user is, for a request on behalf of a team of theirs ("" for their first).
//
// Errors: policy (in no team, or not in that one).
func (d *Directory) Identify(user string, uid int, team string) (fleet.Identity, error) {
	if d.file == nil {
		return alone(user, uid, team)
	}
	org, _ := d.read() // Err returns the error
	m, ok := org.members[user]
	if !ok {
		return fleet.Identity{}, fleet.Errorf(fleet.CodePolicy, "%s is not a member of any team", user).
			WithHint("ask the platform team to add you to the organisation file")
	}
	who := fleet.Identity{User: user, Tenant: m.tenant, Teams: m.teams, Role: fleet.RoleMember, Share: org.shareOf(m.tenant)}
	if m.platform {
		who.Role = fleet.RolePlatform
	}
	return on(who, team)
}

// alone is everybody's identity where there is no file. They are in one team because nobody has said who works together, so
// that what they ask for is shared with nobody.
func alone(user string, uid int, team string) (fleet.Identity, error) {
	who := fleet.Identity{
		User: user, Tenant: fleet.DefaultTenant, Teams: []string{fleet.DefaultTeam}, Role: fleet.RoleMember, Share: fleet.ShareNobody,
	}
	if uid == 0 || uid == os.Geteuid() {
		who.Role = fleet.RolePlatform
	}
	return on(who, team)
}

// on chooses the team that a request is for.
func on(who fleet.Identity, team string) (fleet.Identity, error) {
	if team == "" {
		team = who.Teams[0]
	}
	if !slices.Contains(who.Teams, team) {
		return fleet.Identity{}, fleet.Errorf(fleet.CodePolicy, "%s is not a member of team %q", who.User, team).
			WithHint("teams of %s: %s", who.User, strings.Join(who.Teams, ", "))
	}
	who.Team = team
	return who, nil
}

// Weights gives all teams with their shares of scarce capacity, by tenant and team; none where there is no file.
func (d *Directory) Weights() []fleet.Weight {
	if d.file == nil {
		return nil
	}
	org, _ := d.read() // Err returns the error
	return org.weights
}

// Err says what is wrong with the file as it is now, so that it is not what holds; nil when it does.
func (d *Directory) Err() error {
	if d.file == nil {
		return nil
	}
	if _, err := d.read(); err != nil {
		return fmt.Errorf("cannot read organisation file: %w", err)
	}
	return nil
}
