package fake

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
)

// signals are those that a command can be sent; each ends it.
var signals = map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15}

// Exit codes of a shell.
const (
	exitMisuse     = 2
	exitNotFound   = 127
	exitBySignal   = 128
	exitByKillCode = 137
)

// Exec runs one of the built-in commands (see commands.go).
func (r *Runtime) Exec(ctx context.Context, id string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	const op = "start exec"
	env := r.w.environmentOf(id)
	if err := r.w.begin(ctx, OpExec); err != nil {
		return 0, err
	}
	if err := r.w.reach(ctx, OpExec, env, Before, nil); err != nil {
		return 0, err
	}
	p, err := r.w.process(id, req, streams)
	if err != nil {
		return 0, err
	}
	if len(req.Command) == 0 {
		return 0, provisioner.Errorf(provisioner.Permanent, op, "the command is empty")
	}
	if req.Detach {
		return 0, detached(streams.Stdout)
	}
	number := r.w.enter(id, strings.Join(req.Command, " "))
	defer r.w.leave(id, number)
	code, err := p.supervise(ctx, req.Command, streams)
	if err != nil {
		return 0, err
	}
	return code, r.w.reach(ctx, OpExec, env, After, nil)
}

// process is one command under way.
type process struct {
	w           *World
	ctx         context.Context // ends when the command must
	id          string
	user, dir   string
	vars        map[string]string
	stdin       io.Reader
	out, err    io.Writer
	tty         bool
	terminal    *terminal
	exiting     bool
	killedByOwn func(signal int)
}

// terminal is the size last told.
type terminal struct {
	mu   sync.Mutex
	size provisioner.Size
}

func (w *World) process(id string, req provisioner.ExecRequest, streams provisioner.Streams) (*process, error) {
	const op = "start exec"
	p := &process{
		w: w, id: id, user: req.User, dir: req.Dir, tty: req.TTY, terminal: &terminal{},
		stdin: streams.Stdin, vars: map[string]string{"PATH": "/usr/bin:/bin"},
	}
	if p.user == "" {
		p.user = imageUser
	}
	if p.dir == "" {
		p.dir = imageWorkDir
	}
	if p.stdin == nil {
		p.stdin = strings.NewReader("")
	}
	p.vars["HOME"] = "/home/dev"
	if p.user == "root" {
		p.vars["HOME"] = "/root"
	}
	for _, v := range req.Env {
		name, value, _ := strings.Cut(v, "=")
		p.vars[name] = value
	}
	err := w.tx(func() error {
		c, err := w.container(op, id)
		if err != nil {
			return err
		}
		if !c.Sandbox.Status.Running {
			return provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
		}
		if p.user != "root" && p.user != imageUser {
			return provisioner.Errorf(provisioner.Permanent, op, "no user %q in the sandbox", p.user)
		}
		if _, n, ok := c.Sandbox.files().get(p.dir); !ok || !n.Mode.IsDir() {
			return provisioner.Errorf(provisioner.Permanent, op, "no folder %s in the sandbox", p.dir)
		}
		return nil
	})
	return p, err
}

// supervise runs the command until it ends, a signal or the sandbox's end ends it, or ctx does.
func (p *process) supervise(ctx context.Context, command []string, streams provisioner.Streams) (int, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	p.ctx = running
	gate := &gate{}
	defer gate.shut()
	p.out, p.err = gate.writer(streams.Stdout), gate.writer(streams.Stderr)
	if p.tty {
		p.out = &crlf{p.out}
		p.err = p.out
	}
	ended := make(chan int, 3)
	p.killedByOwn = func(signal int) { ended <- exitBySignal + signal }
	go func() { ended <- p.run(command) }()
	go p.untilSandboxEnds(running, ended)
	for {
		select {
		case <-ctx.Done():
			return 0, cancelled(OpExec, ctx.Err())
		case code := <-ended:
			if err := ctx.Err(); err != nil {
				return 0, cancelled(OpExec, err)
			}
			return code, nil
		case name, ok := <-streams.Signals:
			if !ok {
				streams.Signals = nil
				continue
			}
			if number, known := signals[strings.TrimPrefix(name, "SIG")]; known {
				return exitBySignal + number, nil
			}
		case size, ok := <-streams.Resize:
			if !ok {
				streams.Resize = nil
				continue
			}
			p.terminal.mu.Lock()
			p.terminal.size = size
			p.terminal.mu.Unlock()
		}
	}
}

// untilSandboxEnds ends a command whose sandbox stops or goes, as the kernel would.
func (p *process) untilSandboxEnds(ctx context.Context, ended chan<- int) {
	err := p.w.await(ctx, func() (bool, error) {
		c, ok := p.w.resources.rows[p.id]
		return !ok || c.Sandbox.ended(), nil
	})
	if err == nil {
		ended <- exitByKillCode
	}
}

// enter and leave keep the list of what runs in a sandbox.
func (w *World) enter(id, command string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.processes[id] == nil {
		w.processes[id] = map[int64]string{}
	}
	w.started++
	w.processes[id][w.started] = command
	return w.started
}

func (w *World) leave(id string, number int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.processes[id], number)
	if len(w.processes[id]) == 0 {
		delete(w.processes, id)
	}
}

// gate lets nothing through once a call has returned: a built-in that still
// waits for its input must not write to a stream that is no longer its caller's.
type gate struct {
	mu     sync.Mutex
	closed bool
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) writer(to io.Writer) io.Writer {
	if to == nil {
		to = io.Discard
	}
	return gated{g, to}
}

type gated struct {
	*gate
	to io.Writer
}

func (g gated) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return 0, io.ErrClosedPipe
	}
	return g.to.Write(b)
}

// crlf ends lines as a terminal does.
type crlf struct{ to io.Writer }

func (c *crlf) Write(b []byte) (int, error) {
	if _, err := io.WriteString(c.to, strings.ReplaceAll(string(b), "\n", "\r\n")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// sandbox runs do on the files, to write them when it says so.
func (p *process) sandbox(do func(s *sandbox) (write bool)) error {
	return p.w.tx(func() error {
		c, err := p.w.container("run command", p.id)
		if err != nil {
			return err
		}
		if do(c.Sandbox) {
			return p.w.resources.put(p.id, c)
		}
		return nil
	})
}

// environ lists the variables, sorted.
func (p *process) environ() []string {
	all := make([]string, 0, len(p.vars))
	for name, value := range p.vars {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return all
}
