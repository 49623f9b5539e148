package facts

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// What the kernel counts per machine, or per user of it, one sandbox can take from all others; see README. This
// looks how much is left, and who has most of it.

// Shortage is something that bounds sandboxes badly on the engine's machine, or that it runs short of.
type Shortage struct {
	// Message is a sentence, Hint the next thing to do.
	Message, Hint string
}

// Shortages looks at what bounds sandboxes on this machine. Nothing is found about an engine elsewhere but what it says itself.
func (r *Reporter) Shortages(ctx context.Context) ([]Shortage, error) {
	cctx, cancel := r.engine.Call(ctx)
	defer cancel()
	info, err := r.engine.API.Info(cctx)
	if err != nil {
		return nil, r.engine.Fail(ctx, "look at the engine's limits", err)
	}
	var found []Shortage
	add := func(hint, format string, args ...any) {
		found = append(found, Shortage{Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if !slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=seccomp") }) {
		add("use a kernel and an engine with seccomp", "the engine filters no system calls: sandboxes reach all of the kernel")
	}
	if !r.engine.Local {
		return found, nil
	}
	if _, err := r.limits.Parent(ctx); err != nil {
		return nil, err
	}
	if unset := r.limits.Unweighed(); unset != nil {
		add("run bothyd as root", "busy sandboxes slow bothyd and the engine down: their control group has no weight (%v)", unset)
	}
	if info.CgroupVersion == "1" && os.Geteuid() != 0 {
		add("run bothyd as root, or use cgroup v2", "the memory that connections of sandboxes hold is not bounded")
	}
	if lacks := r.net.Lacking(); lacks != nil {
		add("load the kernel modules xt_rpfilter, xt_connlimit and xt_hashlimit", "sources of packets are not looked up and connections are not counted: %v", lacks)
	}
	if err := r.net.CanFlush(); err != nil {
		add("run bothyd as root, or install conntrack", "a sandbox may hear answers to the one that had its address before: %v", err)
	}
	return append(found, r.hogs(ctx)...), nil
}

// hogs tells what the machine runs short of, and which environment has most of it.
func (r *Reporter) hogs(ctx context.Context) (found []Shortage) {
	var held *holdings
	for _, res := range resources() {
		used, err1 := res.used()
		most, err2 := res.most()
		if err1 != nil || err2 != nil || most <= 0 || used*100 < most*r.Enough {
			continue // not every kernel has everything
		}
		s := Shortage{
			Message: fmt.Sprintf("%d of the machine's %d %s are in use", used, most, res.name),
			Hint:    "raise " + res.setting + " with sysctl",
		}
		if res.by != nil && os.Geteuid() == 0 {
			if held == nil {
				held = r.holdings(ctx)
			}
			if who, n := hog(res.by(held)); n > 0 {
				s.Message += fmt.Sprintf("; environment %s has %d of them", nameOf(held.names[who], who), n)
				s.Hint = "look at it, and end it if it is not meant: bothy down " + nameOf(held.names[who], who) + "; or raise " + res.setting + " with sysctl"
			}
		}
		found = append(found, s)
	}
	return append(found, r.watchers(ctx, held)...)
}

// watchers tells of a user who has nearly as many file watchers as a user may. All sandboxes have the same users.
func (r *Reporter) watchers(ctx context.Context, held *holdings) []Shortage {
	if os.Geteuid() != 0 {
		return nil
	}
	most, err := number("/proc/sys/fs/inotify/max_user_instances")()
	if err != nil {
		return nil
	}
	if held == nil {
		held = r.holdings(ctx)
	}
	var found []Shortage
	for uid, n := range held.watching {
		if int64(n)*100 < most*r.Enough {
			continue
		}
		s := Shortage{
			Message: fmt.Sprintf("%d of the %d file watchers (inotify) that user %d may have are in use, by all sandboxes together", n, most, uid),
			Hint:    fmt.Sprintf("sysctl -w fs.inotify.max_user_instances=%d", max(8192, 2*most)),
		}
		if who, n := hog(held.watchers); n > 0 {
			s.Message += fmt.Sprintf("; environment %s has %d of them", nameOf(held.names[who], who), n)
		}
		found = append(found, s)
	}
	return found
}
