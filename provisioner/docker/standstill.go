package docker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stillPrefix begins the name of the control group below a container's that holds its processes still; what follows is
	// the container's own bound of processes, for whoever has to put that back after this process was killed.
	stillPrefix = "bothy-still."
	// stillPasses bounds how often a container's group is looked through for what was forked meanwhile.
	stillPasses = 50
	// endTries and endAgain bound the wait until a group that was left can be removed.
	endTries = 20
	endAgain = 5 * time.Millisecond
)

// standstill holds what runs in a container still, but not what the engine starts there meanwhile: that joins the container's
// own control group, while all the others are in a frozen one below it. Both versions of control groups can do that; with
// version 1 it is the freezer's alone that has one more. The container itself is not paused to the engine, which would
// start nothing then.
type standstill struct {
	group string // the container's; "" when nothing is held
	id    string // the container
	most  string // its bound of processes
}

func (s standstill) dir() string { return filepath.Join(s.group, stillPrefix+s.most) }

// errFrozen: a container is frozen already, and is left so.
var errFrozen = errors.New("the container is frozen")

// begin moves the container's processes into a frozen group. While they are moved all of the container is frozen: to move a process the
// kernel waits for every fork that is under way on the machine, and one of a sandbox that has used up its processor time waits long. On an
// error fewer are held.
func (s standstill) begin() error {
	if isFrozen(s.group) {
		return errFrozen
	}
	if err := os.Mkdir(s.dir(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as all control groups are
		return err
	}
	freeze(s.group, true)
	freeze(s.dir(), true)
	engines := map[int]bool{}
	var fault error
	for range stillPasses {
		moved := 0
		for _, pid := range membersOf(s.group) {
			if enteredBy(pid, s.id, engines) {
				continue
			}
			err := writeGroup(s.dir(), "cgroup.procs", strconv.Itoa(pid))
			switch {
			case err == nil:
				moved++
			case !errors.Is(err, unix.ESRCH): // ended meanwhile
				fault = err
			}
		}
		if moved == 0 {
			break
		}
	}
	freeze(s.group, false)
	return fault
}

// end lets all go on. Until they are back all of the container is frozen, as at the beginning; the group goes last, since it shows
// what is to be undone should this process end in between.
func (s standstill) end() error {
	if s.group == "" {
		return nil
	}
	freeze(s.group, true)
	for range stillPasses {
		back := membersOf(s.dir())
		if len(back) == 0 {
			break
		}
		for _, pid := range back {
			// One that has ended is none; what else fails shows in the removal.
			_ = writeGroup(s.group, "cgroup.procs", strconv.Itoa(pid))
		}
	}
	freeze(s.dir(), false)
	freeze(s.group, false)
	for range endTries {
		err := unix.Rmdir(s.dir())
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return &fs.PathError{Op: "rmdir", Path: s.dir(), Err: err}
		}
		time.Sleep(endAgain) // a process that ended is in its group until its parent has noticed
	}
	return nil // it is thawed, and serves again the next time
}

// ownGroup gives a container's control group for the one that a process of it is in.
func ownGroup(at string) string {
	if strings.HasPrefix(filepath.Base(at), stillPrefix) {
		return filepath.Dir(at)
	}
	return at
}

// releaseLeft lets sandboxes go on that a process of this installation held still when it was killed, and puts their bounds back; once
// in a process their weights, too.
func (r *Runtime) releaseLeft() {
	if !r.net.local || os.Geteuid() != 0 {
		return
	}
	groups, err := hierarchies()
	if err != nil {
		return // whoever makes sandboxes meets it, too
	}
	at := groups["freezer"]
	if at == "" {
		at = groups[""]
	}
	pids := groups["pids"]
	if pids == "" {
		pids = groups[""]
	}
	r.lowered.Do(func() { r.lowerLeft(groups) })
	for _, parent := range parentNames(r.instance) {
		left, err := filepath.Glob(filepath.Join(at, parent, "*", stillPrefix+"*"))
		if err != nil {
			continue // only for a pattern that is none
		}
		for _, dir := range left {
			r.releaseOne(dir, filepath.Join(pids, parent))
		}
	}
}

// releaseOne does so for one of them.
func (r *Runtime) releaseOne(dir, pids string) {
	group := filepath.Dir(dir)
	name, id := filepath.Base(group), idOfGroup(group)
	if !isID(id) || r.raised.has(id) {
		return
	}
	s := standstill{group: group, id: id, most: strings.TrimPrefix(filepath.Base(dir), stillPrefix)}
	if _, err := strconv.ParseInt(s.most, 10, 64); err != nil {
		return // not ours
	}
	err := writeGroup(filepath.Join(pids, name), "pids.max", s.most)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, s.end()); err != nil {
		r.log.Warn("a sandbox that was held still does not go on", "sandbox", id, "error", err)
		return
	}
	r.log.Warn("a sandbox that a killed process held still goes on", "sandbox", id)
}
