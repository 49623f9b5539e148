package facts

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// holdings are what containers have, by their ids.
type holdings struct {
	names                      map[string]string // environments
	terminals, watchers, flows map[string]int
	watching                   map[int]int // watchers by user, of the whole machine
}

// holdings looks at every process of the machine. What ends meanwhile has nothing.
func (r *Reporter) holdings(ctx context.Context) *holdings {
	h := &holdings{names: map[string]string{}, terminals: map[string]int{}, watchers: map[string]int{}, watching: map[int]int{}}
	slotsOf := map[string]string{} // slot -> container
	cctx, cancel := r.engine.Call(ctx)
	defer cancel()
	all, err := r.engine.API.ContainerList(cctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", provisioner.LabelInstance+"="+r.engine.Instance))})
	if err != nil {
		r.engine.Log.Debug("who has most is not known", "error", err)
		return h
	}
	for _, c := range all {
		if env := c.Labels[provisioner.LabelEnvironment]; env != "" && r.engine.Owns(c.Labels) {
			h.names[c.ID] = env
			slotsOf[sandbox.SlotOf(c.HostConfig.NetworkMode)] = c.ID
		}
	}
	for _, c := range all { // the engine gives a holder by its id, or by its name
		if n := c.Labels[sandbox.LabelSlot]; n != "" && slotsOf[c.ID] != "" {
			slotsOf[sandbox.JoinPrefix+n] = slotsOf[c.ID]
		}
	}
	h.look("/proc")
	h.flows = r.net.Flows(slotsOf)
	return h
}

// look counts the open files of every process under a /proc.
func (h *holdings) look(proc string) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := proc + "/" + e.Name()
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		in := ""
		for _, fd := range fds {
			to, err := os.Readlink(dir + "/fd/" + fd.Name())
			if err != nil || !strings.HasSuffix(to, "/ptmx") && to != "anon_inode:inotify" {
				continue
			}
			if in == "" {
				in = containerOf(dir)
			}
			if to != "anon_inode:inotify" {
				h.terminals[in]++
				continue
			}
			h.watchers[in]++
			h.watching[ownerOf(dir)]++
		}
	}
}

// containerOf returns the container that a process is in, by its control group; "" for none.
func containerOf(dir string) string {
	text, err := os.ReadFile(dir + "/cgroup")
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	name := line[strings.LastIndex(line, "/")+1:]
	return strings.TrimSuffix(strings.TrimPrefix(name, "docker-"), ".scope")
}

// ownerOf returns a process's user on this machine, -1 when it has ended.
func ownerOf(dir string) int {
	text, err := os.ReadFile(dir + "/status")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Uid:" {
			if uid, err := strconv.Atoi(f[1]); err == nil {
				return uid
			}
		}
	}
	return -1
}

// hog returns who has most, of those that are in a container.
func hog(by map[string]int) (who string, n int) {
	for id, has := range by {
		if len(id) == 64 && (has > n || has == n && id < who) {
			who, n = id, has
		}
	}
	return who, n
}

func nameOf(name, id string) string {
	if name == "" {
		return "of another installation, container " + id[:12]
	}
	return name
}
