package docker

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
)

// StartFailure tells what the engine's words on a start mean.
func (r *Runtime) StartFailure(ctx context.Context, id, words string) error {
	return r.startFailure(ctx, id, words, provisioner.ExecRequest{})
}

// CountedFull asks the engine alone whether a sandbox is full.
func (r *Runtime) CountedFull(ctx context.Context, id string) error {
	return full(r.countedPids(ctx, id))
}

// CountedCPU asks the engine alone for a sandbox's processor time.
func (r *Runtime) CountedCPU(ctx context.Context, id string) (time.Duration, error) {
	return r.countedCPU(ctx, id, "count")
}

// GroupOf gives where a sandbox's control group of a controller is.
func (r *Runtime) GroupOf(ctx context.Context, id, controller string) string {
	known, err := r.settingsOf(ctx, id)
	if err != nil {
		panic(err)
	}
	return known.groups[controller]
}

// Lift raises a sandbox's weight until lower is called.
func (r *Runtime) Lift(ctx context.Context, id string) (lower func()) { return r.lift(ctx, id) }

// LeaveLifted raises a sandbox's weight as a process does that is killed before it puts it back.
func (r *Runtime) LeaveLifted(ctx context.Context, id string) {
	r.lift(ctx, id)
	r.lifted.Delete(id)
}

// SetRemoveFor shortens the tries to remove what is stuck, and gives the way back.
func SetRemoveFor(d time.Duration) (restore func()) {
	was := removeFor
	removeFor = d
	return func() { removeFor = was }
}

// SetReadersLeft sets the age of containers that read users from which they are removed, and gives the way back.
func SetReadersLeft(d time.Duration) (restore func()) {
	was := readersLeft
	readersLeft = d
	return func() { readersLeft = was }
}

// SetLingerRetry shortens the waits between tries to end commands, and gives the way back.
func SetLingerRetry(d time.Duration) (restore func()) {
	was, longest := lingerRetry, longestLinger
	lingerRetry, longestLinger = d, 4*d
	return func() { lingerRetry, longestLinger = was, longest }
}

// Lingering counts the commands of a sandbox that are still to be ended.
func (r *Runtime) Lingering(id string) int { return r.left.count(id) }

// MostStarts is how many commands of a sandbox may be starting, Starting how many are.
const MostStarts = mostStarts

// Starting counts the commands of a sandbox that are starting.
func (r *Runtime) Starting(id string) int {
	r.begun.mu.Lock()
	defer r.begun.mu.Unlock()
	if at := r.begun.of[id]; at != nil {
		return len(at.slots)
	}
	return 0
}

// MostLingering is how many commands may linger before a sandbox is given no new ones.
const MostLingering = mostLingering

// Spares counts the networks that are ready.
func (r *Runtime) Spares() int {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return len(r.net.spare)
}

// Firewall gives the names of the installation's chains and the text of its rules.
func (r *Runtime) Firewall() (binary, forward, input, bridges string) {
	t := r.net.tables
	return t.Variant(), t.Names.Forward, t.Names.Input, t.Names.Bridges
}

// Inward gives the name of the chain for what comes to sandboxes.
func (r *Runtime) Inward() string { return r.net.tables.Names.Inward }

// Impossible makes every firewall command fail as if there were no right to it.
func (r *Runtime) Impossible() {
	r.net.tables.Use(false, func(string) (string, error) { return "", context.Canceled })
}

// JoinPrefix and SlotOf lead from a slot's name to what is reserved, and back.
const JoinPrefix = joinPrefix

// SlotOf gives the slot of a reservation.
func SlotOf(reserved string) string { return slotOf(reserved) }

// StageScript is what waits in a sandbox, EncodeFiles what it is sent.
const StageScript = stageScript

// EncodeFiles makes what StageScript reads.
func EncodeFiles(files []provisioner.File) ([]byte, error) { return encodeFiles("", files) }

// Source gives the name of the chain that packets of sandboxes pass first.
func (r *Runtime) Source() string { return r.net.tables.Names.Source }

// SetFlows sets how many connections a slot may have open, and how many it may make at once; before the rules are set.
func (r *Runtime) SetFlows(open, burst int) {
	r.net.tables.Names.Flows, r.net.tables.Names.Burst = open, burst
}

// KeepFlows leaves the connections of slots that are given back in the kernel's table, and gives the way back.
func (r *Runtime) KeepFlows() (restore func()) {
	was := r.net.flush
	r.net.flush = func(context.Context, netip.Prefix) error { return nil }
	return func() { r.net.flush = was }
}

// FlowsOf counts the connections in the kernel's table in which an address of a range takes part.
func FlowsOf(of netip.Prefix) (int, error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return 0, err
	}
	defer closeQuietly(c)
	found, err := firewall.FlowsOf(c, of)
	return len(found), err
}

// TrimNetFiles cuts a holder's files.
func (r *Runtime) TrimNetFiles(c container.InspectResponse) error { return r.net.trimNetFiles(c) }

// CgroupV1 reports whether this host bounds memory by cgroup v1.
func CgroupV1() bool {
	groups, err := hierarchies()
	return err == nil && groups["memory"] != ""
}

// GroupRoot is where a controller's groups are.
func GroupRoot(controller string) string {
	groups, err := hierarchies()
	if err != nil {
		panic(err)
	}
	return cmp.Or(groups[controller], groups[""])
}

// WeightFile is the file of a group's weight.
func WeightFile(parent string) string {
	file := "cpu.weight"
	if CgroupV1() {
		file = "cpu.shares"
	}
	return filepath.Join(GroupRoot("cpu"), parent, file)
}

// SetEnough sets from which part of a machine's limit on, in percent, somebody is named, and gives the way back.
func SetEnough(percent int64) (restore func()) {
	was := enough
	enough = percent
	return func() { enough = was }
}

// Etc is the mount of a new sandbox's own /etc.
func (r *Runtime) Etc(ctx context.Context, image string, labels map[string]string) (mount.Mount, error) {
	return r.etc(ctx, image, labels)
}

// DropEtc removes the /etc of a container that is gone.
func (r *Runtime) DropEtc(c container.InspectResponse) {
	r.dropEtc(c.HostConfig.Mounts)
	r.etcs.work.Wait()
}

// CopiedAhead waits for the copies that are made ahead.
func (r *Runtime) CopiedAhead() { r.etcs.work.Wait() }

// SetEtcLeft sets the age from which a sandbox's /etc was left behind, and gives the way back.
func SetEtcLeft(age time.Duration) (restore func()) {
	was := etcLeft
	etcLeft = age
	return func() { etcLeft = was }
}

// Additions are what the broker adds to a container on a network, with the labels of its owner.
func (r *Runtime) Additions(ctx context.Context, network string, labels map[string]string) (broker.Additions, error) {
	return r.additions(ctx, &provisioner.Spec{Labels: labels}, network)
}

// KernelLimits is what the kernel holds a container to.
func KernelLimits(pid int) (broker.Limits, error) { return kernelLimits(pid) }

// ReaderLabel says which process made a container that reads an image's users.
func (r *Runtime) ReaderLabel() string { return r.readerLabel() }

// HoldStill holds what runs in a container still, as makeRoom does.
func HoldStill(group, id, most string) error { return standstill{group, id, most}.begin() }

// HeldStill reports whether any process of a container is held still.
func HeldStill(group string) bool {
	held, err := filepath.Glob(filepath.Join(group, stillPrefix+"*"))
	for _, dir := range held {
		if len(membersOf(dir)) > 0 {
			return true
		}
	}
	return err != nil
}

// Grouped reports whether a user of so many supplementary groups is given them.
func Grouped(n int) bool {
	who := account{name: "ops", uid: 1, gid: 1}
	a := &accounts{users: map[string]account{"ops": who}, groups: map[string]int{}, first: map[int]account{1: who}, members: map[string][]int{}}
	for gid := range n {
		a.addGroup([]string{"g", "x", count(int64(gid)), "other,ops"})
	}
	return a.grouped(who)
}

// CountedUsage asks the engine alone what a sandbox uses.
func (r *Runtime) CountedUsage(ctx context.Context, id string) (provisioner.Usage, error) {
	return r.countedUsage(ctx, id)
}

// HoldSizes keeps sizes that are read from being noted until the returned function is called.
func (r *Runtime) HoldSizes() (release func()) {
	held := make(chan struct{})
	r.sizes.hold = held
	return func() { close(held) }
}

// PidsOf reads how many processes a sandbox has and may have.
func (r *Runtime) PidsOf(ctx context.Context, id string) (held, most int64, err error) {
	held, most, ok := r.pidsOf(ctx, id)
	if !ok {
		err = errors.New("this host does not tell")
	}
	return held, most, err
}

// SetMain makes the Runtime believe that a process is a sandbox's main one; started is 0 when that is not known.
func (r *Runtime) SetMain(id string, pid int, started uint64) {
	r.mains.put(id, mainProcess{pid, started})
}

// Main gives what the Runtime believes.
func (r *Runtime) Main(id string) (pid int, started uint64) {
	p, _ := r.mains.get(id)
	return p.pid, p.started
}

// FailSetns makes the way back out of a sandbox's network namespace fail, and gives the way back to the tests'.
func FailSetns() (restore func()) {
	own := machines()[0].Ino
	setns = func(fd, kind int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Ino == own {
			return errors.Join(err, unix.EPERM)
		}
		return unix.Setns(fd, kind)
	}
	return func() { setns = unix.Setns }
}
