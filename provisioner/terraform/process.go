package terraform

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
)

// process is one running provider that Terraform can reattach to.
type process struct {
	provider provider
	reattach tfexec.ReattachConfig
	cmd      *exec.Cmd
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
func (p *process) kill() {
	// The error says that it has ended already.
	_ = p.cmd.Process.Kill()
}

// starter starts processes, all from one thread that lasts as long as the
// starter: the kernel kills them when that thread ends, so it must not be one
// that comes and goes, and it ends with the daemon for sure.
type starter struct {
	calls  chan func()
	closed chan struct{}
	once   sync.Once
}

func newStarter() *starter {
	s := &starter{calls: make(chan func()), closed: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for {
			select {
			case call := <-s.calls:
				call()
			case <-s.closed:
				return
			}
		}
	}()
	return s
}

// close ends the thread, and with it whatever it started that still runs.
func (s *starter) close() { s.once.Do(func() { close(s.closed) }) }

// reattachLine is what a provider in debug mode prints once it can be reached. The value is
// JSON: addresses to reattach settings.
var reattachLine = regexp.MustCompile(`TF_REATTACH_PROVIDERS='(\{.*\})'`)

// start brings up a provider in debug mode, with a folder of its own for its
// socket, which has no other protection.
func (s *starter) start(ctx context.Context, workDir, tmp, name string, want provider, limit time.Duration) (*process, error) {
	dir := filepath.Join(tmp, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for socket: %w", err)
	}
	cmd := exec.Command(want.Binary, "-debug")
	cmd.Dir = dir
	for key, value := range baseEnvironment(workDir, name, dir, dir) {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	dieWithUs(cmd)
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = s.onThread(cmd.Start)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start provider: %w", err), os.RemoveAll(dir))
	}

	p := &process{provider: want, cmd: cmd, exited: make(chan struct{}), letGo: time.NewTimer(0)}
	said := make(chan string, 1)
	go func() {
		defer close(p.exited)
		said <- firstMatch(stdout)
		// What else it says is of no use, but must be read for it not to stand still.
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()        // how it ended tells nothing: it is mostly by our kill
		_ = os.RemoveAll(dir) // what stays is removed by the next New
	}()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case line := <-said:
		p.reattach, err = parseReattach(line)
	case <-ctx.Done():
		err = fmt.Errorf("it did not say within %s where to reach it", limit)
	}
	if err != nil {
		p.kill()
		<-p.exited
		return nil, fmt.Errorf("start provider: %w", err)
	}
	return p, nil
}

func (s *starter) onThread(start func() error) error {
	result := make(chan error, 1)
	select {
	case s.calls <- func() { result <- start() }:
		return <-result
	case <-s.closed:
		return errors.New("the driver is closed")
	}
}

// firstMatch reads until the reattach line and gives its value; "" when the
// output ends without one.
func firstMatch(r io.Reader) string {
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		if m := reattachLine.FindStringSubmatch(scan.Text()); m != nil {
			return m[1]
		}
	}
	return ""
}

// parseReattach reads the one setting in it. The address that the provider
// gives is left aside: OpenTofu knows the same provider by another registry's.
func parseReattach(value string) (tfexec.ReattachConfig, error) {
	if value == "" {
		return tfexec.ReattachConfig{}, errors.New("it ended without saying where to reach it")
	}
	var all tfexec.ReattachInfo
	if err := json.NewDecoder(strings.NewReader(value)).Decode(&all); err != nil {
		return tfexec.ReattachConfig{}, fmt.Errorf("read where to reach it: %w", err)
	}
	if len(all) != 1 {
		return tfexec.ReattachConfig{}, fmt.Errorf("it names %d providers, not 1", len(all))
	}
	for _, config := range all {
		if config.Addr.Network != "unix" || config.Addr.String == "" {
			return tfexec.ReattachConfig{}, fmt.Errorf("it listens on %q, not on a unix socket", config.Addr.Network)
		}
		return config, nil
	}
	panic("unreachable")
}
