// Command probe runs inside the tests' sandboxes and tries the network and the kernel. It prints a line for each
// argument, in order: "open", or "closed" and the error.
//
//	dial ADDRESS...           connect (TCP)
//	ask ADDRESS...            send and wait for any answer (UDP)
//	lookup NAME...
//	listen ADDRESS            accept (TCP), until killed
//	echo ADDRESS              answer every packet (UDP), until killed
//	answer ADDRESS            answer the first packet, ten times a second (UDP), until killed
//	send SOURCE,DESTINATION   send one packet from a port of this sandbox (UDP)
//	hear ADDRESS              wait for a packet (UDP)
//	flows HOST-N              send a packet to each of N ports (UDP)
//	forge SOURCE,DESTINATION  send one packet with any source (UDP)
//	call NAME...              make system calls
//	queue N                   fill N connections with itself; prints "queued BYTES" before
//	hog N                     open N terminals and N/5 watchers of files, until killed
//	terminals N               open N terminals; prints how many it got before
//	stop                      say "ready", then stop what an engine starts a command by, as soon as it may: "stopped" and its process id
//	pipe PATH                 make a named pipe
//	serve PORT                say "ready", and send back what comes (TCP, 127.0.0.1), until killed
//	connect PORT              send the input, and print what comes back (TCP, 127.0.0.1)
//	deaf PORT                 say "ready", and accept nothing (TCP, 127.0.0.1), until killed
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

func main() {
	what, args := os.Args[1], os.Args[2:]
	switch what {
	case "stop":
		stop()
		return
	case "bomb":
		bomb()
	case "serve":
		ports(serve, args[0])
	case "connect":
		ports(connect, args[0])
	case "deaf":
		ports(deaf, args[0])
	case "pipe":
		if err := syscall.Mkfifo(args[0], 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	said := make([]chan string, len(args))
	for i, arg := range args {
		said[i] = make(chan string, 1)
		go func() {
			if err := probe(what, arg); err != nil {
				said[i] <- "closed: " + err.Error()
				return
			}
			said[i] <- "open"
		}()
	}
	for _, c := range said {
		fmt.Println(<-c)
	}
}

// stop waits for the next processes to come and stops the first that is called as the engine's helper, and may be stopped.
func stop() {
	fmt.Println("ready")
	for next := os.Getpid() + 1; ; {
		for pid := next; pid < next+16; pid++ {
			comm := fmt.Sprintf("/proc/%d/comm", pid)
			for {
				name, err := os.ReadFile(comm)
				if err != nil || !strings.HasPrefix(string(name), "runc") {
					if err == nil {
						next = max(next, pid-8)
					}
					break
				}
				if syscall.Kill(pid, syscall.SIGSTOP) == nil {
					fmt.Println("stopped", pid)
					time.Sleep(time.Hour)
				}
			}
		}
	}
}

func probe(what, arg string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	switch what {
	case "dial":
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", arg)
		if err != nil {
			return err
		}
		return c.Close()
	case "ask":
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", arg)
		if err != nil {
			return err
		}
		if err := c.SetDeadline(time.Now().Add(1500 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 512))
		return err
	case "lookup": // by the sandbox's own resolver
		_, err := net.DefaultResolver.LookupHost(ctx, arg)
		return err
	case "forge":
		return forge(arg)
	case "send", "hear", "echo", "answer", "flows":
		return packets(what, arg)
	case "queue":
		return queue(arg)
	case "terminals", "hog":
		return terminals(arg, what == "hog")
	case "call":
		return call(arg)
	case "listen":
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", arg)
		if err != nil {
			return err
		}
		fmt.Println("listening")
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			_ = c.Close() // being there is all
		}
	}
	return fmt.Errorf("unknown probe %q", what)
}
