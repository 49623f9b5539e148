package clitest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/duplex"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
)

// exec runs the command as a process group of this machine, in the workspace. BOTHY_USER tells the user that was asked for.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	env := s.find(r.PathValue("env"))
	if env == nil || env.State != "leased" {
		defer s.mu.Unlock()
		if env == nil {
			notFound(w, "environment "+r.PathValue("env"))
		} else {
			p := wire.Problem{Title: "Conflict", Status: http.StatusConflict, Code: wire.CodeConflict, Detail: env.Name + " is " + env.State + ".", Hint: "bothy show " + env.Name}
			if env.State == "pending" || env.State == "provisioning" {
				p.Code, p.RetryAfter = wire.CodeNotReady, 1
			}
			problem(w, p)
		}
		return
	}
	dir, noShell := env.Workspace, s.noShell
	s.mu.Unlock()
	conn, err := duplex.Accept(w, r, wire.ExecProtocol, heartbeat.Timing{})
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	conn.SetReadLimit(wire.ExecMaxStart)
	var start wire.ExecStart
	if _, msg, err := conn.Read(); err != nil || json.Unmarshal(msg, &start) != nil {
		return
	}
	c := &command{conn: conn}
	s.mu.Lock()
	s.execs = append(s.execs, c)
	s.mu.Unlock()
	result := wire.ExecResult{ExitCode: 127}
	if !noShell || start.Command[0] != "sh" {
		result = c.run(start, dir)
	}
	data, err := json.Marshal(result)
	if err == nil {
		c.send(wire.ExecExit, data)
	}
	_ = conn.Flush()
}

type command struct {
	conn *duplex.Conn
	pty  *os.File
	// ended says that the process has been waited for: its number may be another's by now.
	ended atomic.Bool
}

func (c *command) kill(pid int, s syscall.Signal) {
	if !c.ended.Load() {
		_ = syscall.Kill(-pid, s)
	}
}

func (c *command) send(kind byte, data []byte) {
	_ = c.conn.Write(kind, data)
}

// output sends what is written to it.
type output struct {
	c    *command
	kind byte
}

func (o output) Write(p []byte) (int, error) {
	for part := p; len(part) > 0; {
		n := min(len(part), 32<<10)
		o.c.send(o.kind, part[:n])
		part = part[n:]
	}
	return len(p), nil
}

func (c *command) run(start wire.ExecStart, dir string) wire.ExecResult {
	if start.Detach {
		_, _ = io.WriteString(output{c, wire.ExecStdout}, `{"process":42,"output":"/tmp/bothy-exec-x.log"}`+"\n")
		return wire.ExecResult{}
	}
	cmd := exec.Command(start.Command[0], start.Command[1:]...)
	cmd.Dir = dir
	if start.Dir != "" {
		cmd.Dir = start.Dir
	}
	cmd.Env = append(append(os.Environ(), "BOTHY_USER="+start.User), start.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, input, err := os.Pipe()
	if err != nil {
		return failed(err)
	}
	defer func() { _ = stdin.Close() }()
	copied := make(chan struct{})
	close(copied)
	if start.TTY {
		master, slave, err := OpenPTY()
		if err != nil {
			return failed(err)
		}
		defer func() { _ = master.Close() }()
		c.pty, input = master, master
		c.resize(start.Size)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr.Setctty = true
		defer func() { _ = slave.Close() }()
		copied = make(chan struct{})
		go func() {
			_, _ = io.Copy(output{c, wire.ExecStdout}, master)
			close(copied)
		}()
		if err := cmd.Start(); err != nil {
			return failed(err)
		}
		_ = slave.Close() // the last one to close it ends the copying
	} else {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, output{c, wire.ExecStdout}, output{c, wire.ExecStderr}
		if err := cmd.Start(); err != nil {
			return failed(err)
		}
		if !start.Stdin {
			_ = input.Close()
		}
	}
	go c.control(cmd.Process.Pid, input)
	err = cmd.Wait()
	c.ended.Store(true)
	<-copied
	code := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return failed(err)
	}
	return wire.ExecResult{ExitCode: code}
}

func failed(err error) wire.ExecResult {
	return wire.ExecResult{Problem: &wire.Problem{Title: "Bad Request", Status: http.StatusBadRequest, Code: wire.CodeInvalid, Detail: "start command: " + err.Error()}}
}

// control takes the client's messages; when the client has gone the command is ended.
func (c *command) control(pid int, input *os.File) {
	for {
		_, msg, err := c.conn.Read()
		if err != nil || len(msg) == 0 {
			c.kill(pid, syscall.SIGKILL)
			return
		}
		data := msg[1:]
		switch msg[0] {
		case wire.ExecStdin:
			_, _ = input.Write(data)
			c.send(wire.ExecCredit, binary.BigEndian.AppendUint32(nil, uint32(len(data))))
		case wire.ExecStdinEOF:
			if c.pty == nil {
				_ = input.Close()
			}
		case wire.ExecResize:
			var size wire.ExecSize
			if json.Unmarshal(data, &size) == nil {
				c.resize(size)
			}
		case wire.ExecStop:
			c.kill(pid, syscall.SIGKILL)
		case wire.ExecSignal:
			c.kill(pid, unix.SignalNum("SIG"+string(data)))
		}
	}
}

func (c *command) resize(size wire.ExecSize) {
	if c.pty != nil {
		_ = SetSize(c.pty, size.Rows, size.Cols)
	}
}

// CutOff breaks every exec under way, as a daemon that dies does.
func (s *Server) CutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.execs {
		_ = c.conn.Close()
	}
}
