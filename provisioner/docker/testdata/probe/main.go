// Command probe runs inside the tests' sandboxes and tries the network:
// "dial NETWORK ADDRESS", "ask ADDRESS" (UDP, any answer will do), "lookup
// NAME", "listen ADDRESS" (until killed). It prints "open" or the error.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	if err := probe(os.Args[1], os.Args[2:]); err != nil {
		fmt.Println("closed:", err)
		os.Exit(1)
	}
	fmt.Println("open")
}

func probe(what string, args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	switch what {
	case "dial":
		c, err := (&net.Dialer{}).DialContext(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return c.Close()
	case "ask":
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", args[0])
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
		_, err := net.DefaultResolver.LookupHost(ctx, args[0])
		return err
	case "listen":
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", args[0])
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
