package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// errTimeout: Terraform took longer than Config.Timeout.
var errTimeout = errors.New("terraform did not finish in time")

// job is one Terraform command to run.
type job struct {
	tool tool
	args []string
	// dir is the folder it runs in and may change; "" is none. run is the mark that its processes carry.
	dir, run string
	// read is what it may read beside that and its own configuration.
	read []string
	// engine is the address of the engine that its providers may reach; "" is none.
	engine string
	// reattach names the warm providers to use.
	reattach reattachInfo
	// download returns it the network and what the machine needs to use it.
	download bool
	// stdout takes what it prints there instead of the events.
	stdout io.Writer
	// phase is that of events which do not tell one themselves.
	phase   string
	observe provisioner.Observer
}

// do runs one command in a box and waits until nothing of it is left. terraform-exec is not used for that: it
// starts its program itself, so nothing can be put around it, and keeps all that it prints.
func (d *Driver) do(ctx context.Context, j job) (*output, error) {
	out := &output{phase: j.phase, observe: j.observe}
	// A folder of its own for the sockets of its plugins.
	tmp, err := os.MkdirTemp(d.tmp, "r")
	if err != nil {
		return out, fmt.Errorf("make directory for sockets: %w", err)
	}
	box, err := d.boxFor(j, tmp)
	if err != nil {
		return out, errors.Join(err, os.RemoveAll(tmp))
	}
	box.Stdout, box.Stderr = &lines{each: out.stdoutLine}, &lines{each: out.stderrLine}
	if j.stdout != nil {
		box.Stdout = j.stdout
	}

	limited, cancel := context.WithTimeoutCause(ctx, d.cfg.Timeout, errTimeout)
	defer cancel()
	err = d.box.Run(limited, box, d.cfg.Grace)
	if err != nil {
		// In a whole box there is nothing left to be found.
		if n := endMarked(d.cfg.WorkDir, j.run, 0); n > 0 {
			d.log.Warn("killed processes that outlived their Terraform", "run", j.run, "processes", n)
		}
		if ctx.Err() == nil && errors.Is(context.Cause(limited), errTimeout) {
			err = fmt.Errorf("%w (%s): %w", errTimeout, d.cfg.Timeout, err)
		}
	}
	if removed := os.RemoveAll(tmp); removed != nil {
		d.log.Warn("a directory for sockets stays", "cause", removed)
	}
	return out, err
}

// boxFor says what a command may use.
func (d *Driver) boxFor(j job, tmp string) (confine.Box, error) {
	home := j.dir
	if home == "" {
		home = tmp
	}
	env := d.environment(j.run, home, tmp)
	b := confine.Box{Path: j.tool.Path, Args: j.args, Dir: home, Read: slices.Clone(j.read), Write: []string{tmp}, Bounds: d.bounds()}
	if j.dir != "" {
		b.Write = append(b.Write, j.dir)
	}
	b.Read = append(b.Read, d.cliConfigFile())
	if d.cfg.Mirror != "" {
		b.Read = append(b.Read, d.cfg.Mirror)
	}
	if j.engine != "" {
		withEngine(&b, j.engine)
	}
	if j.args[0] == "init" {
		b.Bounds.FileSize = initFileBound
	}
	if j.download {
		b.Network = true
		downloads(env)
	}
	if j.reattach != nil {
		text, err := json.Marshal(j.reattach)
		if err != nil {
			return b, fmt.Errorf("encode where to reattach: %w", err)
		}
		env["TF_REATTACH_PROVIDERS"] = string(text)
		for _, config := range j.reattach {
			b.Read = append(b.Read, filepath.Dir(config.Addr.String))
		}
	}
	b.Env = environ(env)
	return b, nil
}

func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// verb is what is done to an environment.
type verb string

const (
	apply   verb = "apply"
	destroy verb = "destroy"
)

// arguments of a verb. -json tells progress as JSON lines. Nothing is refreshed: a create begins without resources, and removing
// what is already gone succeeds. No copy of an earlier state is left behind.
func (v verb) arguments() []string {
	return []string{string(v), "-no-color", "-auto-approve", "-input=false", "-lock=true", "-parallelism=10", "-refresh=false", "-backup=-", "-json"}
}

// run does a verb, on warm providers where there are some. When those fail at
// their own part, it is done again the plain way: a destroy always, an apply only when nothing was begun yet.
func (d *Driver) run(ctx context.Context, v verb, j job, spec provisioner.Spec, providers []provider) (*output, error) {
	j.args = v.arguments()
	if lease := d.lease(ctx, spec, providers); lease != nil {
		d.runs.warm.Add(1)
		warm := j
		warm.reattach = lease.reattach
		if len(lease.processes) == len(providers) {
			warm.engine = "" // it is the providers' alone
		}
		out, err := d.do(ctx, warm)
		if err == nil {
			lease.release()
			return out, nil
		}
		bound := lease.discard()
		if bound != nil {
			return out, fmt.Errorf("%w: %w", bound, err)
		}
		atFault := lease.died || out.pluginFault()
		if ctx.Err() != nil || !atFault || (v == apply && out.begun) {
			return out, err
		}
		d.runs.fallbacks.Add(1)
		d.log.Warn("a warm provider process failed; running Terraform without", "run", j.run, "cause", out.sentence(err))
	}
	d.runs.plain.Add(1)
	return d.do(ctx, j)
}

func (d *Driver) lease(ctx context.Context, spec provisioner.Spec, providers []provider) *lease {
	if d.warm == nil || !d.warmReaches(spec) {
		return nil
	}
	lease, faults := d.warm.lease(ctx, providers)
	d.runs.fallbacks.Add(int64(faults))
	return lease
}
