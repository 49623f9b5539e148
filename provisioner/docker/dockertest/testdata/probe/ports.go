package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// serve listens at a port of 127.0.0.1, says "ready" and sends back what it is sent.
func serve(port string) error {
	l, err := net.Listen("tcp", "127.0.0.1:"+port) //nolint:noctx // until killed
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c) // whoever is at the other end sees it
		}()
	}
}

// connect sends its input to a port of 127.0.0.1 and prints what comes back.
func connect(port string) error {
	c, err := net.Dial("tcp", "127.0.0.1:"+port) //nolint:noctx // of a test
	if err != nil {
		return err
	}
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, os.Stdin)
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		sent <- err
	}()
	if _, err := io.Copy(os.Stdout, c); err != nil {
		return err
	}
	return <-sent
}

// deaf listens at a port of 127.0.0.1, says "ready" and never accepts.
func deaf(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: n, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 0); err != nil {
		return err
	}
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return nil
}

// ports runs one of these; it does not return.
func ports(run func(port string) error, port string) {
	if err := run(port); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
