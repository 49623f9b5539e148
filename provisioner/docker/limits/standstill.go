package limits

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/hostproc"
)

const (
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

func (s standstill) dir() string { return filepath.Join(s.group, cgroup.StillPrefix+s.most) }

// errFrozen: a container is frozen already, and is left so.
var errFrozen = errors.New("the container is frozen")

// begin moves the container's processes into a frozen group. While they are moved all of the container is frozen: to move a process the
// kernel waits for every fork that is under way on the machine, and one of a sandbox that has used up its processor time waits long. On an
// error fewer are held.
func (s standstill) begin() error {
	if cgroup.IsFrozen(s.group) {
		return errFrozen
	}
	if err := os.Mkdir(s.dir(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as all control groups are
		return err
	}
	cgroup.Freeze(s.group, true)
	cgroup.Freeze(s.dir(), true)
	engines := map[int]bool{}
	var fault error
	for range stillPasses {
		moved := 0
		for _, pid := range cgroup.Members(s.group) {
			if hostproc.EnteredBy(pid, s.id, engines) {
				continue
			}
			err := cgroup.Write(s.dir(), "cgroup.procs", strconv.Itoa(pid))
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
	cgroup.Freeze(s.group, false)
	return fault
}

// end lets all go on. Until they are back all of the container is frozen, as at the beginning; the group goes last, since it shows
// what is to be undone should this process end in between.
func (s standstill) end() error {
	if s.group == "" {
		return nil
	}
	cgroup.Freeze(s.group, true)
	for range stillPasses {
		back := cgroup.Members(s.dir())
		if len(back) == 0 {
			break
		}
		for _, pid := range back {
			// One that has ended is none; what else fails shows in the removal.
			_ = cgroup.Write(s.group, "cgroup.procs", strconv.Itoa(pid))
		}
	}
	cgroup.Freeze(s.dir(), false)
	cgroup.Freeze(s.group, false)
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

// ReleaseLeft lets sandboxes go on that a process of this installation held still when it was killed, and puts their bounds back; once
// in a process their weights, too.
func (l *Limiter) ReleaseLeft() {
	if !l.engine.Local || os.Geteuid() != 0 {
		return
	}
	groups, err := cgroup.Hierarchies()
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
	l.lowered.Do(func() { l.lowerLeft(groups) })
	for _, parent := range parentNames(l.engine.Instance) {
		left, err := filepath.Glob(filepath.Join(at, parent, "*", cgroup.StillPrefix+"*"))
		if err != nil {
			continue // only for a pattern that is none
		}
		for _, dir := range left {
			l.releaseOne(dir, filepath.Join(pids, parent))
		}
	}
}

// releaseOne does so for one of them.
func (l *Limiter) releaseOne(dir, pids string) {
	group := filepath.Dir(dir)
	name, id := filepath.Base(group), cgroup.Container(group)
	if !engine.IsID(id) || l.raised.has(id) {
		return
	}
	s := standstill{group: group, id: id, most: strings.TrimPrefix(filepath.Base(dir), cgroup.StillPrefix)}
	if _, err := strconv.ParseInt(s.most, 10, 64); err != nil {
		return // not ours
	}
	err := cgroup.Write(filepath.Join(pids, name), "pids.max", s.most)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, s.end()); err != nil {
		l.engine.Log.Warn("a sandbox that was held still does not go on", "sandbox", id, "error", err)
		return
	}
	l.engine.Log.Warn("resumed a sandbox that a killed process had held still", "sandbox", id)
}
