package accounts

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

const (
	// mostAccounts bounds /etc/passwd and /etc/group of an image, in bytes.
	mostAccounts = 1 << 20
	// mostGroups is how many supplementary groups a command has at most; a user of an image who is in more has none.
	mostGroups = 64
)

// identities remembers what commands in sandboxes run as.
type identities struct {
	mu      sync.Mutex
	images  map[string]*Users
	reading sync.Mutex // one image is read at a time
}

// Users are the users and groups of an image, by name.
type Users struct {
	users  map[string]Account
	groups map[string]int
	// names are the users' names in the order of the file: of two with one number, the first is meant.
	names []string
	// first are the users that the engine finds by number, members the supplementary groups by user's name.
	first   map[int]Account
	members map[string][]int
	// linked says that one of the files is a link: what it leads to a sandbox may be able to write.
	linked bool
}

// Account is a user of an image.
type Account struct {
	name        string // "" when there is only a number
	UID, GID    int
	home, shell string
}

// Vars are the variables that a login sets.
func (a Account) Vars() []string {
	vars := []string{"HOME=" + a.home}
	if a.name == "" {
		return vars
	}
	shell := a.shell
	if shell == "" {
		shell = "/bin/sh"
	}
	return append(vars, "USER="+a.name, "LOGNAME="+a.name, "SHELL="+shell)
}

// numbers reads "uid:gid", or "uid" with group 0.
func numbers(user string) (Account, bool) {
	name, group, grouped := strings.Cut(user, ":")
	uid, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return Account{}, false
	}
	gid := uint64(0)
	if grouped {
		if gid, err = strconv.ParseUint(group, 10, 31); err != nil {
			return Account{}, false
		}
	}
	return Account{UID: int(uid), GID: int(gid), home: "/"}, true
}

// Find returns a user by name or number, with a group behind a colon if one is named.
func (a *Users) Find(user string) (Account, bool) {
	name, group, grouped := strings.Cut(user, ":")
	found, ok := a.users[name]
	if !ok {
		if found, ok = numbers(name); !ok {
			return Account{}, false
		}
		for _, name := range a.names {
			if known := a.users[name]; known.UID == found.UID {
				found = known
				break
			}
		}
	}
	if grouped {
		gid, known := a.groups[group]
		if !known {
			n, err := strconv.ParseUint(group, 10, 31)
			if err != nil {
				return Account{}, false
			}
			gid = int(n)
		}
		found.GID = gid
	}
	return found, true
}

// Grouped reports whether a user is in supplementary groups, and the engine finds that user by its number alone.
func (a *Users) Grouped(who Account) bool {
	n, number := len(a.members[who.name]), strconv.Itoa(who.UID)
	first, known := a.first[who.UID]
	_, named := a.users[number] // the engine would take it for a name
	return !a.linked && n > 0 && n <= mostGroups && known && !named && first == who
}

// Of reads an image's users once.
func (r *Reader) Of(ctx context.Context, image string) (*Users, error) {
	known := func() *Users {
		r.who.mu.Lock()
		defer r.who.mu.Unlock()
		return r.who.images[image]
	}
	if a := known(); a != nil {
		return a, nil
	}
	r.who.reading.Lock()
	defer r.who.reading.Unlock()
	if a := known(); a != nil {
		return a, nil
	}
	a, err := r.readAccounts(ctx, image)
	if err != nil {
		return nil, err
	}
	r.who.mu.Lock()
	defer r.who.mu.Unlock()
	if r.who.images == nil || len(r.who.images) >= engine.MostKnown {
		r.who.images = map[string]*Users{}
	}
	r.who.images[image] = a
	return a, nil
}

// readAccounts reads an image's users and groups.
func (r *Reader) readAccounts(ctx context.Context, image string) (*Users, error) {
	const op = "read the users of an image"
	a := &Users{
		users: map[string]Account{"root": {name: "root", home: "/root"}}, groups: map[string]int{"root": 0}, names: []string{"root"},
		first: map[int]Account{}, members: map[string][]int{},
	}
	err := r.WithReader(ctx, op, image, func(ctx context.Context, id string) error { return r.readUsers(ctx, id, a) })
	if err != nil {
		return nil, engine.During(op, r.engine.Fail(ctx, op, err))
	}
	return a, nil
}

// readUsers reads them out of a container's files.
func (r *Reader) readUsers(ctx context.Context, id string, a *Users) error {
	if err := r.readFile(ctx, id, "/etc/passwd", &a.linked, func(f []string) {
		uid, err1 := strconv.ParseUint(at(f, 2), 10, 31)
		gid, err2 := strconv.ParseUint(at(f, 3), 10, 31)
		if err1 == nil && err2 == nil {
			one := Account{name: f[0], UID: int(uid), GID: int(gid), home: at(f, 5), shell: at(f, 6)}
			a.users[f[0]] = one
			a.names = append(a.names, f[0])
			if _, ok := a.first[one.UID]; !ok {
				a.first[one.UID] = one
			}
		}
	}); err != nil {
		return err
	}
	return r.readFile(ctx, id, "/etc/group", &a.linked, a.addGroup)
}

// addGroup takes in a line of /etc/group. Of a user in too many groups no more are kept than tell that.
func (a *Users) addGroup(f []string) {
	gid, err := strconv.ParseUint(at(f, 2), 10, 31)
	if err != nil {
		return
	}
	a.groups[f[0]] = int(gid)
	for member := range strings.SplitSeq(at(f, 3), ",") {
		if member != "" && len(a.members[member]) <= mostGroups {
			a.members[member] = append(a.members[member], int(gid))
		}
	}
}

func at(fields []string, i int) string {
	if i < len(fields) {
		return fields[i]
	}
	return ""
}

// readFile returns the lines of a file of a container, taken apart at colons, and whether it is a link. One that is not there has none.
func (r *Reader) readFile(ctx context.Context, id, name string, linked *bool, line func(fields []string)) error {
	for range 2 { // a link is followed once
		body, _, err := r.engine.API.CopyFromContainer(ctx, id, name)
		if err != nil {
			if provisioner.Is(r.engine.Fail(ctx, engine.OpExec, err), provisioner.NotFound) {
				return nil
			}
			return err
		}
		target, err := readTar(body, name, line)
		engine.CloseQuietly(body)
		if err != nil || target == "" {
			return err
		}
		*linked = true
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean(target)
	}
	return provisioner.Errorf(provisioner.Permanent, engine.OpExec, "the image's %s is a link to a link", name)
}

// readTar reads the one file of a tar stream, or gives where it links to.
func readTar(body io.Reader, name string, line func(fields []string)) (target string, err error) {
	archive := tar.NewReader(io.LimitReader(body, mostAccounts+4096))
	head, err := archive.Next()
	switch {
	case errors.Is(err, io.EOF):
		return "", nil
	case err != nil:
		return "", err
	case head.Typeflag == tar.TypeSymlink:
		return head.Linkname, nil
	case head.Typeflag != tar.TypeReg:
		return "", provisioner.Errorf(provisioner.Permanent, engine.OpExec, "the image's %s is no file", name)
	case head.Size > mostAccounts:
		return "", provisioner.Errorf(provisioner.Permanent, engine.OpExec, "the image's %s has %d bytes, at most %d are read", name, head.Size, mostAccounts)
	}
	in := bufio.NewScanner(archive)
	in.Buffer(nil, mostAccounts)
	for in.Scan() {
		if f := strings.Split(in.Text(), ":"); f[0] != "" {
			line(f)
		}
	}
	return "", in.Err()
}
