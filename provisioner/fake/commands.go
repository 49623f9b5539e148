package fake

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// builtins are the commands that exist in a fake sandbox. A map filled in init,
// because sh calls back into it.
var builtins map[string]func(p *process, args []string) int

func init() {
	builtins = map[string]func(p *process, args []string) int{
		"true": func(*process, []string) int { return 0 }, ":": func(*process, []string) int { return 0 },
		"false": func(*process, []string) int { return 1 },
		"echo":  (*process).echo, "cat": (*process).cat, "sleep": (*process).sleep, "exit": (*process).exit,
		"env": (*process).env, "printenv": (*process).printenv, "pwd": (*process).pwd,
		"id": (*process).whoami, "whoami": (*process).whoami, "kill": (*process).kill,
		"sh": (*process).sh, "bash": (*process).sh, "exec": (*process).exec, "read": (*process).read,
		"stty": (*process).stty, "test": (*process).test, "stat": (*process).stat,
		"ln": (*process).ln, "mkdir": (*process).mkdir, "rm": (*process).rm, "touch": (*process).touch,
		"tcp-echo": (*process).echoPort, "tcp-connect": (*process).connectPort,
	}
}

// run finds and runs a command.
func (p *process) run(args []string) int {
	name := strings.TrimPrefix(strings.TrimPrefix(args[0], "/usr"), "/bin/")
	command, ok := builtins[name]
	if !ok {
		fmt.Fprintf(p.err, "%s: not found in the fake sandbox\n", args[0])
		return exitNotFound
	}
	return command(p, args[1:])
}

func (p *process) fail(format string, args ...any) int {
	fmt.Fprintf(p.err, format+"\n", args...)
	return 1
}

func (p *process) echo(args []string) int {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	fmt.Fprint(p.out, strings.Join(args, " ")+end)
	return 0
}

func (p *process) cat(args []string) int {
	if len(args) == 0 {
		if _, err := io.Copy(p.out, p.stdin); err != nil {
			return p.fail("cat: %v", err)
		}
		return 0
	}
	code := 0
	for _, name := range args {
		data, err := p.readFile(name)
		if err != nil {
			code = p.fail("cat: %s: %v", name, err)
			continue
		}
		if _, err := p.out.Write(data); err != nil {
			return p.fail("cat: %v", err)
		}
	}
	return code
}

func (p *process) sleep(args []string) int {
	total := time.Duration(0)
	for _, arg := range args {
		if arg == "infinity" {
			<-p.ctx.Done()
			return exitByKillCode
		}
		seconds, err := strconv.ParseFloat(arg, 64)
		if err != nil {
			return p.fail("sleep: invalid time interval %q", arg)
		}
		total += time.Duration(seconds * float64(time.Second))
	}
	timer := time.NewTimer(total)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0
	case <-p.ctx.Done():
		return exitByKillCode
	}
}

func (p *process) exit(args []string) int {
	p.exiting = true
	if len(args) == 0 {
		return 0
	}
	code, err := strconv.Atoi(args[0])
	if err != nil {
		return exitMisuse
	}
	return code & 0xff
}

func (p *process) env([]string) int {
	for _, v := range p.environ() {
		fmt.Fprintln(p.out, v)
	}
	return 0
}

func (p *process) printenv(args []string) int {
	if len(args) == 0 {
		return p.env(nil)
	}
	value, ok := p.vars[args[0]]
	if !ok {
		return 1
	}
	fmt.Fprintln(p.out, value)
	return 0
}

func (p *process) pwd([]string) int {
	fmt.Fprintln(p.out, p.dir)
	return 0
}

func (p *process) whoami([]string) int {
	fmt.Fprintln(p.out, p.user)
	return 0
}

// kill sends the only process there is, the one that runs, a signal.
func (p *process) kill(args []string) int {
	number := signals["TERM"]
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name := strings.TrimPrefix(strings.TrimPrefix(args[0], "-"), "SIG")
		n, known := signals[name]
		if m, err := strconv.Atoi(name); err == nil {
			n, known = m, true
		}
		if !known {
			return p.fail("kill: %s: unknown signal", name)
		}
		number = n
	}
	p.killedByOwn(number)
	<-p.ctx.Done()
	return exitBySignal + number
}

func (p *process) exec(args []string) int {
	if len(args) == 0 {
		return 0
	}
	code := p.run(args)
	p.exiting = true
	return code
}

// read takes one line of input, byte by byte so that what follows is left.
func (p *process) read(args []string) int {
	var line []byte
	for b := [1]byte{}; ; {
		if _, err := io.ReadFull(p.stdin, b[:]); err != nil {
			return 1
		}
		if b[0] == '\n' || p.tty && b[0] == '\r' {
			break
		}
		line = append(line, b[0])
	}
	if len(args) > 0 {
		p.vars[args[len(args)-1]] = string(line)
	}
	return 0
}

func (p *process) stty(args []string) int {
	if !p.tty {
		return p.fail("stty: 'standard input': Inappropriate ioctl for device")
	}
	if len(args) == 1 && args[0] == "size" {
		p.terminal.mu.Lock()
		size := p.terminal.size
		p.terminal.mu.Unlock()
		fmt.Fprintf(p.out, "%d %d\n", size.Rows, size.Cols)
	}
	return 0
}

func (p *process) test(args []string) int {
	if len(args) != 2 {
		return exitMisuse
	}
	if args[0] == "-t" {
		return status(p.tty)
	}
	code := 1
	err := p.sandbox(func(s *sandbox) bool {
		_, n, ok := s.files().get(p.abs(args[1]))
		switch args[0] {
		case "-e":
			code = status(ok)
		case "-f":
			code = status(ok && n.Mode.IsRegular())
		case "-d":
			code = status(ok && n.Mode.IsDir())
		case "-L", "-h":
			at, _ := s.files().resolve(p.abs(args[1]), false)
			code = status(s.files()[at].Mode&fs.ModeSymlink != 0)
		default:
			code = exitMisuse
		}
		return false
	})
	if err != nil {
		return exitByKillCode
	}
	return code
}

func status(ok bool) int {
	if ok {
		return 0
	}
	return 1
}

// stat knows -c with %U (user), %a (mode in octal) and %n (name).
func (p *process) stat(args []string) int {
	if len(args) != 3 || args[0] != "-c" {
		return p.fail("stat: want -c FORMAT FILE")
	}
	code := 0
	err := p.sandbox(func(s *sandbox) bool {
		at, _ := s.files().resolve(p.abs(args[2]), false)
		n, ok := s.files()[at]
		if !ok {
			code = p.fail("stat: cannot stat %s: No such file or directory", args[2])
			return false
		}
		fmt.Fprintln(p.out, strings.NewReplacer(
			"%U", n.User, "%a", strconv.FormatUint(uint64(n.Mode.Perm()), 8), "%n", args[2]).Replace(args[1]))
		return false
	})
	if err != nil {
		return exitByKillCode
	}
	return code
}

func (p *process) abs(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(p.dir, name)
}

var (
	errNoFile  = errors.New("No such file or directory") //nolint:staticcheck // as the real tools write it
	errNoRight = errors.New("Permission denied")         //nolint:staticcheck // as the real tools write it
)

func (p *process) readFile(name string) (data []byte, err error) {
	gone := p.sandbox(func(s *sandbox) bool {
		_, n, ok := s.files().get(p.abs(name))
		switch {
		case !ok || !n.Mode.IsRegular():
			err = errNoFile
		case !n.may(p.user, 4):
			err = errNoRight
		default:
			data = n.Data
		}
		return false
	})
	return data, errors.Join(gone, err)
}

// change writes one node, when the user may write to its folder.
func (p *process) change(tool, name string, n *node) int {
	code := 0
	err := p.sandbox(func(s *sandbox) bool {
		at, ok := s.files().resolve(p.abs(name), n != nil && n.Mode.IsRegular())
		parent, there := s.files()[path.Dir(at)]
		old, existed := s.files()[at]
		switch {
		case !ok || !there:
			code = p.fail("%s: %s: %v", tool, name, errNoFile)
		case !parent.may(p.user, 2) && !(existed && n != nil && old.may(p.user, 2)):
			code = p.fail("%s: %s: %v", tool, name, errNoRight)
		case n == nil:
			for _, q := range s.files().below(at) {
				delete(s.own(), q)
			}
			return true
		default:
			if existed {
				n.User = old.User
			}
			s.own()[at] = *n
			return true
		}
		return false
	})
	if err != nil {
		return exitByKillCode
	}
	return code
}

func (p *process) ln(args []string) int {
	if len(args) != 3 || args[0] != "-s" {
		return p.fail("ln: want -s TARGET NAME")
	}
	return p.change("ln", args[2], &node{Mode: fs.ModeSymlink | 0o777, User: p.user, Link: args[1]})
}

func (p *process) mkdir(args []string) int {
	code := 0
	for _, name := range args {
		if name == "-p" {
			continue
		}
		at := ""
		for _, part := range strings.Split(strings.Trim(p.abs(name), "/"), "/") {
			at += "/" + part
			if p.test([]string{"-e", at}) != 0 {
				code = max(code, p.change("mkdir", at, &node{Mode: fs.ModeDir | 0o755, User: p.user}))
			}
		}
	}
	return code
}

func (p *process) rm(args []string) int {
	code := 0
	for _, name := range args {
		if !strings.HasPrefix(name, "-") {
			code = max(code, p.change("rm", name, nil))
		}
	}
	return code
}

func (p *process) touch(args []string) int {
	code := 0
	for _, name := range args {
		if p.test([]string{"-e", name}) != 0 {
			code = max(code, p.change("touch", name, &node{Mode: 0o644, User: p.user}))
		}
	}
	return code
}

// sh runs -c SCRIPT, or the lines of its input.
func (p *process) sh(args []string) int {
	inner := *p
	inner.exiting = false
	if len(args) >= 2 && strings.HasSuffix(args[0], "c") && strings.HasPrefix(args[0], "-") {
		return inner.script(args[1])
	}
	code := 0
	for lines := bufio.NewScanner(p.stdin); !inner.exiting && lines.Scan(); {
		code = inner.script(lines.Text())
	}
	return code
}
