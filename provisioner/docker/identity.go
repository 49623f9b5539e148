package docker

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
)

// The engine looks a user's name up in the files of the running sandbox, which whoever is root there writes: a name can
// be made to mean another user, and a long /etc/group keeps the engine busy for hours. So commands run by number, and the
// numbers come from the sandbox's image, which no sandbox writes.
//
// The engine's exec takes no supplementary groups: it finds them by itself, for a user without a group behind it, in the files
// that are below the sandbox's own /etc (see accounts.go), which are the image's. So a user that is in groups there is named by its
// number alone, if the engine finds that very user by it, and no more than mostGroups.

const (
	// labelUsers marks a container that is made to read an image's users, and never started.
	labelUsers = "bothy.users"
	// mostAccounts bounds /etc/passwd and /etc/group of an image, in bytes.
	mostAccounts = 1 << 20
	// mostGroups is how many supplementary groups a command has at most; a user of an image who is in more has none.
	mostGroups = 64
	// mostKnown bounds what is remembered of sandboxes.
	mostKnown = 4096
)

// readersLeft is the age from which a container that reads users was left behind. Younger ones may be another process's.
var readersLeft = 2 * time.Minute

// identities remembers what commands in sandboxes run as.
type identities struct {
	mu      sync.Mutex
	images  map[string]*accounts
	sandbox map[string]settings
	reading sync.Mutex // one image is read at a time
}

// settings are what a sandbox was made with; they never change.
type settings struct {
	image, user, dir string
	env              []string // its variables, the image's among them
	ownEtc           bool     // it has an /etc of its own in front of the image's
	// groups are where its control groups are on this host, by controller; those that cannot be read are left out.
	groups map[string]string
}

// accounts are the users and groups of an image, by name.
type accounts struct {
	users  map[string]account
	groups map[string]int
	// names are the users' names in the order of the file: of two with one number, the first is meant.
	names []string
	// first are the users that the engine finds by number, members the supplementary groups by user's name.
	first   map[int]account
	members map[string][]int
	// linked says that one of the files is a link: what it leads to a sandbox may be able to write.
	linked bool
}

type account struct {
	name        string // "" when there is only a number
	uid, gid    int
	home, shell string
}

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

// identify gives the numbers of a user of a sandbox; "" is the sandbox's own. Class Permanent: its image has no such user.
func (r *Runtime) identify(ctx context.Context, id, user string) (identity, error) {
	known, err := r.settingsOf(ctx, id)
	if err != nil {
		return identity{}, err
	}
	if user == "" {
		user = known.user
	}
	image, err := r.accountsOf(ctx, known.image)
	if err != nil {
		return identity{}, err
	}
	found, ok := image.find(user)
	if !ok {
		return identity{}, provisioner.Errorf(provisioner.Permanent, opExec, "the sandbox has no user %q", user)
	}
	who := identity{dir: known.dir, user: fmt.Sprintf("%d:%d", found.uid, found.gid)}
	if known.ownEtc && !strings.Contains(user, ":") && image.grouped(found) {
		who.user = strconv.Itoa(found.uid)
	}
	_, who.odd = splitEnv(known.env)
	for _, kv := range found.vars() {
		if name, _, _ := strings.Cut(kv, "="); !has(known.env, name) {
			who.vars = append(who.vars, kv)
		}
	}
	return who, nil
}

// vars are the variables that a login sets.
func (a account) vars() []string {
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
func numbers(user string) (account, bool) {
	name, group, grouped := strings.Cut(user, ":")
	uid, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return account{}, false
	}
	gid := uint64(0)
	if grouped {
		if gid, err = strconv.ParseUint(group, 10, 31); err != nil {
			return account{}, false
		}
	}
	return account{uid: int(uid), gid: int(gid), home: "/"}, true
}

// find gives a user by name or number, with a group behind a colon if one is named.
func (a *accounts) find(user string) (account, bool) {
	name, group, grouped := strings.Cut(user, ":")
	found, ok := a.users[name]
	if !ok {
		if found, ok = numbers(name); !ok {
			return account{}, false
		}
		for _, name := range a.names {
			if known := a.users[name]; known.uid == found.uid {
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
				return account{}, false
			}
			gid = int(n)
		}
		found.gid = gid
	}
	return found, true
}

// grouped reports whether a user is in supplementary groups, and the engine finds that user by its number alone.
func (a *accounts) grouped(who account) bool {
	n, number := len(a.members[who.name]), strconv.Itoa(who.uid)
	first, known := a.first[who.uid]
	_, named := a.users[number] // the engine would take it for a name
	return !a.linked && n > 0 && n <= mostGroups && known && !named && first == who
}

// settingsOf asks the engine once what a sandbox was made with.
func (r *Runtime) settingsOf(ctx context.Context, id string) (settings, error) {
	r.who.mu.Lock()
	known, ok := r.who.sandbox[id]
	r.who.mu.Unlock()
	if ok {
		return known, nil
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	c, err := r.api.ContainerInspect(cctx, id)
	if err != nil {
		return settings{}, r.fail(ctx, opExec, err)
	}
	if c.ContainerJSONBase == nil || c.Config == nil || c.ID != id {
		return settings{}, provisioner.Errorf(provisioner.Transient, opExec, "the engine's answer does not describe the sandbox")
	}
	known = settings{image: c.Image, user: c.Config.User, dir: c.Config.WorkingDir}
	if known.user == "" {
		known.user = "0:0"
	}
	if known.dir == "" {
		known.dir = "/"
	}
	known.env = c.Config.Env
	known.ownEtc = slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool { return m.Destination == accountsTarget })
	if c.State == nil || c.State.Pid <= 0 {
		return known, nil // it does not run: where its control groups are is not known yet
	}
	known.groups = r.groupsOf(c.ID, c.State.Pid)
	r.who.mu.Lock()
	defer r.who.mu.Unlock()
	if r.who.sandbox == nil || len(r.who.sandbox) >= mostKnown {
		r.who.sandbox = map[string]settings{}
	}
	r.who.sandbox[id] = known
	return known, nil
}

// forgetSandbox drops what is remembered of a sandbox that is gone.
func (r *Runtime) forgetSandbox(id string) {
	r.sizes.forget(id)
	r.mains.forget(id)
	r.who.mu.Lock()
	defer r.who.mu.Unlock()
	delete(r.who.sandbox, id)
}

// accountsOf reads an image's users once.
func (r *Runtime) accountsOf(ctx context.Context, image string) (*accounts, error) {
	known := func() *accounts {
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
	if r.who.images == nil || len(r.who.images) >= mostKnown {
		r.who.images = map[string]*accounts{}
	}
	r.who.images[image] = a
	return a, nil
}

// readerLabel says which process made a reader: "PLACE PROCESS", or "PROCESS" where nothing tells which processes have ended. One
// process at a time uses a place, the folder for /etcs on this machine.
func (r *Runtime) readerLabel() string {
	if r.place == "" {
		return r.process
	}
	return r.place + " " + r.process
}

// isLeft reports whether a reader was made by an earlier process of this one's place.
func (r *Runtime) isLeft(label string) bool {
	place, process, ok := strings.Cut(label, " ")
	return ok && r.place != "" && place == r.place && process != r.process
}

// folderPlace names a folder of this machine; "" when it cannot be told.
func folderPlace(dir string) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s.%d.%d", strings.TrimSpace(string(boot)), sys.Dev, sys.Ino)
}

// withReader gives a container that is made from an image and never started, for reading its files, and removes it.
func (r *Runtime) withReader(ctx context.Context, op, image string, read func(ctx context.Context, id string) error) error {
	cctx, cancel := r.call(ctx)
	defer cancel()
	labels := r.key.Labels(provisioner.Owner{Instance: r.instance, Blueprint: "users@0", User: "bothyd", Created: time.Now()})
	labels[labelUsers] = r.readerLabel()
	made, err := r.api.ContainerCreate(cctx,
		&container.Config{Image: image, Entrypoint: []string{"/never"}, Labels: labels, NetworkDisabled: true},
		&container.HostConfig{NetworkMode: "none", ReadonlyRootfs: true, CapDrop: []string{"ALL"}, LogConfig: container.LogConfig{Type: "none"}},
		nil, nil, "")
	if err != nil {
		return r.fail(ctx, op, err)
	}
	defer func() {
		rctx, cancel := r.call(context.WithoutCancel(ctx))
		defer cancel()
		gone := r.api.ContainerRemove(rctx, made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if gone != nil { // a later Reconcile removes it
			r.log.Warn("removing the container that read an image's users failed", "container", made.ID, "error", gone)
		}
	}()
	return read(cctx, made.ID)
}

// readAccounts reads an image's users and groups.
func (r *Runtime) readAccounts(ctx context.Context, image string) (*accounts, error) {
	const op = "read the users of an image"
	a := &accounts{
		users: map[string]account{"root": {name: "root", home: "/root"}}, groups: map[string]int{"root": 0}, names: []string{"root"},
		first: map[int]account{}, members: map[string][]int{},
	}
	err := r.withReader(ctx, op, image, func(ctx context.Context, id string) error { return r.readUsers(ctx, id, a) })
	if err != nil {
		return nil, during(op, r.fail(ctx, op, err))
	}
	return a, nil
}

// readUsers reads them out of a container's files.
func (r *Runtime) readUsers(ctx context.Context, id string, a *accounts) error {
	if err := r.readFile(ctx, id, "/etc/passwd", &a.linked, func(f []string) {
		uid, err1 := strconv.ParseUint(at(f, 2), 10, 31)
		gid, err2 := strconv.ParseUint(at(f, 3), 10, 31)
		if err1 == nil && err2 == nil {
			one := account{name: f[0], uid: int(uid), gid: int(gid), home: at(f, 5), shell: at(f, 6)}
			a.users[f[0]] = one
			a.names = append(a.names, f[0])
			if _, ok := a.first[one.uid]; !ok {
				a.first[one.uid] = one
			}
		}
	}); err != nil {
		return err
	}
	return r.readFile(ctx, id, "/etc/group", &a.linked, a.addGroup)
}

// addGroup takes in a line of /etc/group. Of a user in too many groups no more are kept than tell that.
func (a *accounts) addGroup(f []string) {
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

// readFile gives the lines of a file of a container, taken apart at colons, and whether it is a link. One that is not there has none.
func (r *Runtime) readFile(ctx context.Context, id, name string, linked *bool, line func(fields []string)) error {
	for range 2 { // a link is followed once
		body, _, err := r.api.CopyFromContainer(ctx, id, name)
		if err != nil {
			if provisioner.Is(r.fail(ctx, opExec, err), provisioner.NotFound) {
				return nil
			}
			return err
		}
		target, err := readTar(body, name, line)
		closeQuietly(body)
		if err != nil || target == "" {
			return err
		}
		*linked = true
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean(target)
	}
	return provisioner.Errorf(provisioner.Permanent, opExec, "the image's %s is a link to a link", name)
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
		return "", provisioner.Errorf(provisioner.Permanent, opExec, "the image's %s is no file", name)
	case head.Size > mostAccounts:
		return "", provisioner.Errorf(provisioner.Permanent, opExec, "the image's %s has %d bytes, at most %d are read", name, head.Size, mostAccounts)
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

// removeReaders removes what readAccounts left: its process was killed, or the engine was away. What fails is done the next time.
func (r *Runtime) removeReaders(ctx context.Context) {
	cctx, cancel := r.call(ctx)
	defer cancel()
	left, err := r.api.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", labelUsers), filters.Arg("label", provisioner.LabelInstance+"="+r.instance))})
	if err != nil {
		return // whoever calls meets it too, and says so
	}
	for _, c := range left {
		if !r.owns(c.Labels) || !r.isLeft(c.Labels[labelUsers]) && time.Since(time.Unix(c.Created, 0)) < readersLeft {
			continue
		}
		if err := r.api.ContainerRemove(cctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			r.log.Warn("removing a container that read an image's users failed", "container", c.ID, "error", err)
		}
	}
}
