package docker

import (
	"cmp"
	"context"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/ti-mo/conntrack"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/exec"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
	"github.com/bothy-env/bothy/provisioner/docker/inventory"
	"github.com/bothy-env/bothy/provisioner/docker/limits"
	"github.com/bothy-env/bothy/provisioner/docker/network"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
	"github.com/bothy-env/bothy/provisioner/docker/usage"
)

// elsewhere is the same engine as a process on another machine sees it.
func (r *Runtime) elsewhere() *engine.Client {
	far := *r.engine
	far.Local = false
	return &far
}

// CountedFull asks the engine alone whether a sandbox is full.
func (r *Runtime) CountedFull(ctx context.Context, id string) error {
	far := r.elsewhere()
	return limits.New(far, sandbox.New(far), nil).Full(ctx, id)
}

// CountedCPU asks the engine alone for a sandbox's processor time.
func (r *Runtime) CountedCPU(ctx context.Context, id string) (time.Duration, error) {
	far := r.elsewhere()
	return usage.New(ctx, far, sandbox.New(far)).CPUTime(ctx, id)
}

// CountedUsage asks the engine alone what a sandbox uses.
func (r *Runtime) CountedUsage(ctx context.Context, id string) (provisioner.Usage, error) {
	far := r.elsewhere()
	return usage.New(ctx, far, sandbox.New(far)).Usage(ctx, id)
}

// StartFailure says what the engine's words on a start mean.
func (r *Runtime) StartFailure(ctx context.Context, id, words string) error {
	return r.commands.StartFailure(ctx, id, words, provisioner.ExecRequest{})
}

// GroupOf returns where a sandbox's control group of a controller is.
func (r *Runtime) GroupOf(ctx context.Context, id, controller string) string {
	known, err := r.sandboxes.Settings(ctx, id)
	if err != nil {
		panic(err)
	}
	return known.Groups[controller]
}

// Lift raises a sandbox's weight until lower is called.
func (r *Runtime) Lift(ctx context.Context, id string) (lower func()) { return r.limits.Lift(ctx, id) }

// killed are limits as a process leaves them that is killed.
func (r *Runtime) killed() *limits.Limiter { return limits.New(r.engine, r.sandboxes, nil) }

// LeaveLifted raises a sandbox's weight as a process does that is killed before it puts it back.
func (r *Runtime) LeaveLifted(ctx context.Context, id string) { r.killed().Lift(ctx, id) }

// LeaveHeldStill holds what runs in a sandbox still and raises its bound, as a process does that is killed before it puts them back.
func (r *Runtime) LeaveHeldStill(ctx context.Context, id string) { r.killed().MakeRoom(ctx, id, true) }

// HeldStill reports whether any process of a container is held still.
func HeldStill(group string) bool {
	held, err := filepath.Glob(filepath.Join(group, cgroup.StillPrefix+"*"))
	for _, dir := range held {
		if len(cgroup.Members(dir)) > 0 {
			return true
		}
	}
	return err != nil
}

// SetRemoveFor shortens the tries to remove what is stuck.
func (r *Runtime) SetRemoveFor(d time.Duration) { r.Inventory.(*inventory.Inventory).RemoveFor = d }

// SetReadersLeft sets the age of containers that read users from which they are removed.
func (r *Runtime) SetReadersLeft(d time.Duration) { r.accounts.LeftAfter = d }

// SetLingerRetry shortens the waits between tries to end commands.
func (r *Runtime) SetLingerRetry(d time.Duration) { r.commands.Retry, r.commands.RetryMost = d, 4*d }

// Lingering counts the commands of a sandbox that are still to be ended.
func (r *Runtime) Lingering(id string) int { return r.commands.Lingering(id) }

// MostStarts is how many commands of a sandbox may be starting, Starting how many are.
const MostStarts = exec.MostStarts

// Starting counts the commands of a sandbox that are starting.
func (r *Runtime) Starting(id string) int { return r.commands.Starting(id) }

// Spares counts the networks that are ready.
func (r *Runtime) Spares() int { return r.net.Spares() }

// Firewall returns the names of the installation's chains and the text of its rules.
func (r *Runtime) Firewall() (binary, forward, input, bridges string) {
	t := r.net.Tables()
	return t.Variant(), t.Names.Forward, t.Names.Input, t.Names.Bridges
}

// Inward returns the name of the chain for what comes to sandboxes.
func (r *Runtime) Inward() string { return r.net.Tables().Names.Inward }

// Source returns the name of the chain that packets of sandboxes pass first.
func (r *Runtime) Source() string { return r.net.Tables().Names.Source }

// Impossible makes every firewall command fail as if there were no right to it.
func (r *Runtime) Impossible() {
	r.net.Tables().Use(false, func(string) (string, error) { return "", context.Canceled })
}

// SetFlows sets how many connections a slot may have open, and how many it may make at once; before the rules are set.
func (r *Runtime) SetFlows(open, burst int) {
	names := &r.net.Tables().Names
	names.Flows, names.Burst = open, burst
}

// KeepFlows leaves the connections of slots that are given back in the kernel's table, and returns the way back.
func (r *Runtime) KeepFlows() (restore func()) {
	was := r.net.Flush
	r.net.Flush = func(context.Context, netip.Prefix) error { return nil }
	return func() { r.net.Flush = was }
}

// FlowsOf counts the connections in the kernel's table in which an address of a range takes part.
func FlowsOf(of netip.Prefix) (int, error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return 0, err
	}
	defer engine.CloseQuietly(c)
	found, err := firewall.FlowsOf(c, of)
	return len(found), err
}

// JoinPrefix and SlotOf lead from a slot's name to what is reserved, and back.
const JoinPrefix = sandbox.JoinPrefix

// SlotOf returns the slot of a reservation.
func SlotOf(reserved string) string { return sandbox.SlotOf(reserved) }

// TrimNetFiles cuts a holder's files.
func (r *Runtime) TrimNetFiles(c container.InspectResponse) error {
	return network.TrimFiles(r.engine, c)
}

// CgroupV1 reports whether this host bounds memory by cgroup v1.
func CgroupV1() bool {
	groups, err := cgroup.Hierarchies()
	return err == nil && groups["memory"] != ""
}

// GroupRoot is where a controller's groups are.
func GroupRoot(controller string) string {
	groups, err := cgroup.Hierarchies()
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

// SetEnough sets from which part of a machine's limit on, in percent, somebody is named.
func (r *Runtime) SetEnough(percent int64) { r.facts.Enough = percent }

// Etc is the mount of a new sandbox's own /etc.
func (r *Runtime) Etc(ctx context.Context, image string, labels map[string]string) (mount.Mount, error) {
	return r.etcs.Mount(ctx, image, labels)
}

// DropEtc removes the /etc of a container that is gone.
func (r *Runtime) DropEtc(c container.InspectResponse) {
	r.etcs.Drop(c.HostConfig.Mounts)
	r.etcs.Wait()
}

// CopiedAhead waits for the copies that are made ahead.
func (r *Runtime) CopiedAhead() { r.etcs.Wait() }

// SetEtcLeft sets the age from which a sandbox's /etc was left behind.
func (r *Runtime) SetEtcLeft(age time.Duration) { r.etcs.LeftAfter = age }

// Additions are what the broker adds to a container on a network, with the labels of its owner.
func (r *Runtime) Additions(ctx context.Context, network string, labels map[string]string) (broker.Additions, error) {
	return r.additions(ctx, &provisioner.Spec{Labels: labels}, network)
}

// KernelLimits is what the kernel holds a container to.
func KernelLimits(pid int) (cgroup.Limits, error) { return cgroup.LimitsOf(pid) }

// ReaderLabel says which process made a container that reads an image's users.
func (r *Runtime) ReaderLabel() string { return r.accounts.Label() }

// PidsOf reads how many processes a sandbox has.
func (r *Runtime) PidsOf(ctx context.Context, id string) (held int64, ok bool) {
	return cgroup.ReadCount(filepath.Join(r.GroupOf(ctx, id, "pids"), "pids.current"))
}
