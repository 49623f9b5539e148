package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// reattachInfo is what Terraform reads from TF_REATTACH_PROVIDERS, by the provider's address.
type reattachInfo map[string]reattachConfig

// reattachConfig says how to reach a running provider. Its Pid is of the provider's own namespace, 1 in a box; in Terraform's that is
// Terraform itself, so its look whether the provider lives finds one that does. (With Test it ends nobody.)
type reattachConfig struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            struct{ Network, String string }
}

// process is one running provider that Terraform can reattach to.
type process struct {
	provider provider
	reattach reattachConfig
	running  *confine.Process
	// exited is closed once it has ended and its folder is gone.
	exited chan struct{}

	// uses and letGo belong to whoever has the process: the pool, or a lease.
	uses  int
	letGo *time.Timer
	// ending: it was killed and may take a moment. The pool's lock guards it.
	ending bool
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends it at once: it keeps nothing that would have to be put in order.
func (p *process) kill() { p.running.Kill() }

// reattachLine is what a provider in debug mode prints once it can be reached. The value is
// JSON: addresses to reattach settings.
var reattachLine = regexp.MustCompile(`TF_REATTACH_PROVIDERS='(\{.*\})'`)

// reattachValue finds that value in a line. The provider quotes it for a shell, so an apostrophe in a path comes escaped.
func reattachValue(line []byte) (value string, ok bool) {
	m := reattachLine.FindSubmatch(line)
	if m == nil {
		return "", false
	}
	return strings.ReplaceAll(string(m[1]), `'\''`, "'"), true
}

// startProcess brings up a provider in debug mode, in a box and with a folder of its own for its
// socket, which has no other protection.
func (p *pool) startProcess(ctx context.Context, name string, want provider) (*process, error) {
	dir := filepath.Join(p.tmp, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory for socket: %w", err)
	}
	said := make(chan string, 1)
	box := providerBox(p.cfg, want, dir)
	box.Env = environ(baseEnvironment(p.cfg.WorkDir, name, dir, dir))
	box.Stdout = &lines{each: func(line []byte) {
		if value, ok := reattachValue(line); ok {
			select {
			case said <- value:
			default: // it says so once
			}
		}
	}}
	running, err := p.box.Start(ctx, box)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start provider: %w", err), os.RemoveAll(dir))
	}

	proc := &process{provider: want, running: running, exited: make(chan struct{}), letGo: time.NewTimer(0)}
	go func() { // ends with the process
		defer close(proc.exited)
		<-running.Exited()
		_ = os.RemoveAll(dir) // what stays is removed by the next New
	}()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.WarmLimits.Start)
	defer cancel()
	select {
	case line := <-said:
		proc.reattach, err = parseReattach(line)
	case <-proc.exited:
		if err = running.Wait(); err == nil {
			err = errors.New("exit status 0")
		}
		err = fmt.Errorf("it ended without saying where to reach it: %w", err)
	case <-ctx.Done():
		err = fmt.Errorf("it did not say within %s where to reach it", p.cfg.WarmLimits.Start)
	}
	if err != nil {
		proc.kill()
		<-proc.exited
		return nil, fmt.Errorf("start provider: %w", err)
	}
	return proc, nil
}

// parseReattach reads the one setting in it. The address that the provider
// gives is left aside: OpenTofu knows the same provider by another registry's.
func parseReattach(value string) (reattachConfig, error) {
	var all reattachInfo
	if err := json.NewDecoder(strings.NewReader(value)).Decode(&all); err != nil {
		return reattachConfig{}, fmt.Errorf("read where to reach it: %w", err)
	}
	if len(all) != 1 {
		return reattachConfig{}, fmt.Errorf("it names %d providers, not 1", len(all))
	}
	for _, config := range all {
		if config.Addr.Network != "unix" || config.Addr.String == "" {
			return reattachConfig{}, fmt.Errorf("it listens on %q, not on a unix socket", config.Addr.Network)
		}
		return config, nil
	}
	panic("unreachable")
}
