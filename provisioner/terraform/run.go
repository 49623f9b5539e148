package terraform

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/bothy-env/bothy/provisioner"
)

// errTimeout: Terraform took longer than Config.Timeout.
var errTimeout = errors.New("terraform did not finish in time")

// job is one Terraform command to run.
type job struct {
	tool tool
	// dir is the folder it runs in, run the mark that its processes carry.
	dir, run string
	env      map[string]string
	// phase is that of events which do not tell one themselves.
	phase   string
	observe provisioner.Observer
}

// do runs one command of terraform-exec and waits until nothing of it is left.
func (d *Driver) do(ctx context.Context, j job, call func(context.Context, *tfexec.Terraform) error) (*output, error) {
	tf, err := d.newTerraform(j.tool.Path, j.dir, j.env)
	if err != nil {
		return &output{}, err
	}
	out := &output{phase: j.phase, observe: j.observe}
	tf.SetStdout(&lines{each: out.stdoutLine})
	tf.SetStderr(&lines{each: out.stderrLine})

	limited, cancel := context.WithTimeoutCause(ctx, d.cfg.Timeout, errTimeout)
	defer cancel()
	var cancelled atomic.Int64 // when, in Unix nanoseconds: to know what is left of the grace
	defer context.AfterFunc(limited, func() { cancelled.Store(time.Now().UnixNano()) })()
	// terraform-exec has the kernel kill Terraform when the thread that started
	// it ends; a thread ends when a goroutine that is locked to it does. Locked to
	// this one, no other goroutine can take it along.
	runtime.LockOSThread()
	err = call(limited, tf)
	runtime.UnlockOSThread()

	if err != nil {
		grace := time.Duration(0)
		if limited.Err() != nil {
			// Cancelled in the moment of its start, Terraform is not waited for by terraform-exec.
			grace = max(0, d.cfg.Grace-time.Since(time.Unix(0, cancelled.Load())))
		}
		if n := endMarked(d.cfg.WorkDir, j.run, grace); n > 0 {
			d.log.Warn("killed processes that outlived their Terraform", "run", j.run, "processes", n)
		}
		if ctx.Err() == nil && errors.Is(context.Cause(limited), errTimeout) {
			err = fmt.Errorf("%w (%s): %w", errTimeout, d.cfg.Timeout, err)
		}
	}
	return out, err
}

// newTerraform sets up terraform-exec for a folder.
func (d *Driver) newTerraform(binary, dir string, env map[string]string) (*tfexec.Terraform, error) {
	tf, err := tfexec.NewTerraform(dir, binary)
	if err != nil {
		return nil, fmt.Errorf("open working directory: %w", err)
	}
	if err := errors.Join(tf.SetEnv(env), tf.SetWaitDelay(d.cfg.Grace)); err != nil {
		return nil, fmt.Errorf("set up terraform-exec: %w", err)
	}
	return tf, nil
}

// verb is what is done to an environment.
type verb string

const (
	apply   verb = "apply"
	destroy verb = "destroy"
)

// jsonFlag makes Terraform tell its progress as JSON lines. terraform-exec's own
// ApplyJSON and DestroyJSON first run `terraform version`, each time, which costs a tenth of a create; the
// last argument of Apply and Destroy is the same thing without that, and every version accepted here has it.
const jsonFlag = "-json"

// command runs the verb in a working directory.
func (v verb) command(reattach tfexec.ReattachInfo) func(context.Context, *tfexec.Terraform) error {
	return func(ctx context.Context, tf *tfexec.Terraform) error {
		// Nothing is refreshed: a create begins from nothing, and removing what is already gone succeeds.
		if v == destroy {
			options := []tfexec.DestroyOption{tfexec.Refresh(false), tfexec.Dir(jsonFlag)}
			if reattach != nil {
				options = append(options, tfexec.Reattach(reattach))
			}
			return tf.Destroy(ctx, options...)
		}
		options := []tfexec.ApplyOption{tfexec.Refresh(false), tfexec.DirOrPlan(jsonFlag)}
		if reattach != nil {
			options = append(options, tfexec.Reattach(reattach))
		}
		return tf.Apply(ctx, options...)
	}
}

// run does a verb, on warm providers where there are some. When those fail at
// their own part, it is done again the plain way: a destroy always, an apply only when nothing was begun yet.
func (d *Driver) run(ctx context.Context, v verb, j job, providers []provider) (*output, error) {
	if lease := d.lease(ctx, providers); lease != nil {
		d.runs.warm.Add(1)
		out, err := d.do(ctx, j, v.command(lease.reattach))
		if err == nil {
			lease.release()
			return out, nil
		}
		atFault := lease.discard() || out.pluginFault()
		if ctx.Err() != nil || !atFault || (v == apply && out.begun) {
			return out, err
		}
		d.runs.fallbacks.Add(1)
		d.log.Warn("a warm provider process failed; running Terraform without", "run", j.run, "cause", out.sentence(err))
	}
	d.runs.plain.Add(1)
	return d.do(ctx, j, v.command(nil))
}

func (d *Driver) lease(ctx context.Context, providers []provider) *lease {
	if d.warm == nil {
		return nil
	}
	lease, faults := d.warm.lease(ctx, providers)
	d.runs.fallbacks.Add(int64(faults))
	return lease
}
