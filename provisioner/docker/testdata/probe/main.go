// Command probe runs inside the tests' sandboxes and tries the network:
// "dial ADDRESS..." (TCP), "ask ADDRESS..." (UDP, any answer will do), "lookup
// NAME..." and "listen ADDRESS" (until killed). It prints a line for each
// argument, in order: "open", or "closed" and the error.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	what, args := os.Args[1], os.Args[2:]
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
