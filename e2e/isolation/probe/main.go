//go:build linux

// Command probe tries, from inside a container, what a sandbox must not be able to do. It reads attempts from standard
// input, one a line ("tcp 172.17.0.1:22", "call mount s:none s:/tmp s:tmpfs 0 nil"), and answers each with one line, in
// order: "reached", "refused" or "absent", and a detail. An attempt that cannot be tried as written is "broken".
//
// No attempt changes anything that outlives it: a file is opened or gets its own value back, a process gets signal 0,
// and a call that would be dangerous has arguments that the kernel refuses only after it has checked who asks.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// wait bounds one try over a network whose packets are dropped silently.
	wait = 2 * time.Second
	// most bounds one attempt; one that takes longer has reached nothing.
	most = 20 * time.Second
	// atOnce is how many attempts run at the same time: mostly they wait for packets.
	atOnce = 16
	// lifetime ends a probe that only waits to be found, if nobody removes it.
	lifetime = 15 * time.Minute
)

// attempt is one kind of try: nil means that it reached its target.
type attempt func(args []string) (detail string, err error)

// attempts are all kinds, by name. A new kind of try is one entry here, a new probe one row of the suite's table.
var attempts = map[string]attempt{}

// errBroken marks an attempt that was not made.
var errBroken = errors.New("broken")

func brokenf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBroken, fmt.Sprintf(format, args...))
}

// missing are the errors for objects that the machine or the sandbox does not have at all.
var missing = []error{
	unix.ENOENT, unix.ENOSYS, unix.EAFNOSUPPORT, unix.ENODEV, unix.ENXIO, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.ESRCH, errNone,
}

// errNone: the target is not visible.
var errNone = errors.New("none visible")

func main() {
	switch {
	case len(os.Args) == 1:
		if err := batch(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "probe:", err)
			os.Exit(1)
		}
	case os.Args[1] == "noop":
	case os.Args[1] == "wait":
		time.Sleep(lifetime)
	case os.Args[1] == "listen":
		if err := listen(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "probe:", err)
			os.Exit(1)
		}
	case os.Args[1] == "try":
		fmt.Println(try(os.Args[2:]))
	default:
		fmt.Fprintln(os.Stderr, "usage: probe [try KIND ARG...|wait|listen ADDRESS...]; without arguments it reads attempts from stdin")
		os.Exit(2)
	}
}

// try makes one attempt in this process.
func try(words []string) string {
	a, ok := attempts[words[0]]
	if !ok {
		return fmt.Sprintf("broken unknown attempt %q", words[0])
	}
	runtime.LockOSThread() // namespaces and permissions are per thread
	detail, err := a(words[1:])
	switch {
	case err == nil:
		return strings.TrimSpace("reached " + oneLine(detail))
	case errors.Is(err, errBroken):
		return oneLine(err.Error())
	}
	for _, m := range missing {
		if errors.Is(err, m) {
			return "absent " + oneLine(err.Error())
		}
	}
	return "refused " + oneLine(err.Error())
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return s
}

// batch makes each attempt in a process of its own, so that one that ends or changes its process does not affect the others. Attempts
// that exhaust a resource run alone, at the end.
func batch(in io.Reader, out io.Writer) error {
	var lines [][]string
	scan := bufio.NewScanner(in)
	for scan.Scan() {
		if words := strings.Fields(scan.Text()); len(words) > 0 {
			lines = append(lines, words)
		}
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("read the attempts: %w", err)
	}
	said := make([]string, len(lines))
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, words := range lines {
		if words[0] == "take" {
			continue
		}
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			said[i] = apart(words)
			<-slots
		}()
	}
	wg.Wait()
	for i, words := range lines {
		if words[0] == "take" {
			said[i] = apart(words)
		}
		if _, err := fmt.Fprintln(out, said[i]); err != nil {
			return err
		}
	}
	return nil
}

// apart makes one attempt in a process of its own.
func apart(words []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"try"}, words...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	text, err := cmd.Output()
	if ctx.Err() != nil {
		return fmt.Sprintf("refused no result after %s", most)
	}
	if first, _, _ := strings.Cut(string(text), "\n"); first != "" {
		return first
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) {
		return "broken no process for it: " + err.Error()
	}
	// The kernel or the runtime ended it: it exceeded a limit.
	return oneLine(fmt.Sprintf("refused ended: %v %.200s", err, errs.String()))
}

// listen answers every connection and every datagram at the addresses, until it is killed or its lifetime ends.
func listen(addrs []string) error {
	failed := make(chan error)
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		pc, err := net.ListenPacket("udp", addr) // one per address, so that answers come from that address
		if err != nil {
			return err
		}
		go func() { failed <- answerStreams(l) }()
		go func() { failed <- answerDatagrams(pc) }()
	}
	fmt.Println("listening")
	select {
	case err := <-failed:
		return err
	case <-time.After(lifetime):
		return nil
	}
}

// closed, release and removed undo an attempt's effects: their errors say nothing about the result.
func closed(c io.Closer) { _ = c.Close() }

func release(fd int) { _ = unix.Close(fd) }

func removed(path string) { _ = os.Remove(path) }
