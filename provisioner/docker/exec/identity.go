package exec

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// The engine looks a user's name up in the files of the running sandbox, which whoever is root there writes: a name can
// be made to mean another user, and a long /etc/group keeps the engine busy for hours. So commands run by number, and the
// numbers come from the sandbox's image, which no sandbox writes.
//
// The engine's exec takes no supplementary groups: it finds them by itself, for a user without a group behind it, in the files
// that are below the sandbox's own /etc (see etcdir), which are the image's. So a user that is in groups there is named by its
// number alone, if the engine finds that very user by it, and no more than mostGroups.

// identity is as whom, and where, a command runs.
type identity struct {
	// user is "uid:gid", which has no supplementary groups, or "uid", which has those of the image.
	user string
	// vars are HOME, USER, LOGNAME and SHELL, without those that the sandbox itself sets.
	vars []string
	// odd are the sandbox's own variables that do not pass through a shell as they are.
	odd []string
	// dir is the sandbox's own working directory.
	dir string
}

// identify returns the numbers of a user of a sandbox; "" is the sandbox's own. Class Permanent: its image has no such user.
func (r *Runner) identify(ctx context.Context, id, user string) (identity, error) {
	known, err := r.sandboxes.Settings(ctx, id)
	if err != nil {
		return identity{}, err
	}
	if user == "" {
		user = known.User
	}
	image, err := r.accounts.Of(ctx, known.Image)
	if err != nil {
		return identity{}, err
	}
	found, ok := image.Find(user)
	if !ok {
		return identity{}, provisioner.Errorf(provisioner.Permanent, engine.OpExec, "the sandbox has no user %q", user)
	}
	who := identity{dir: known.Dir, user: fmt.Sprintf("%d:%d", found.UID, found.GID)}
	if known.OwnEtc && !strings.Contains(user, ":") && image.Grouped(found) {
		who.user = strconv.Itoa(found.UID)
	}
	_, who.odd = splitEnv(known.Env)
	for _, kv := range found.Vars() {
		if name, _, _ := strings.Cut(kv, "="); !has(known.Env, name) {
			who.vars = append(who.vars, kv)
		}
	}
	return who, nil
}
