package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// queue makes connections and sends until nothing is taken any more; nobody reads.
func queue(arg string) error {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(l, n)); err != nil {
		return err
	}
	at, err := unix.Getsockname(l)
	if err != nil {
		return err
	}
	sent, chunk := 0, make([]byte, 64<<10)
	for range n {
		out, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(unix.SetsockoptInt(out, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<24), unix.Connect(out, at)); err != nil {
			return err
		}
		in, _, err := unix.Accept(l)
		if err != nil {
			return err
		}
		if err := errors.Join(unix.SetsockoptInt(in, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<24), unix.SetNonblock(out, true)); err != nil {
			return err
		}
		for {
			k, err := unix.Write(out, chunk)
			if err != nil {
				break // EAGAIN: this one is full
			}
			sent += k
		}
	}
	fmt.Println("queued", sent)
	return nil
}

// terminals opens so many of them, and stays, with watchers of files too, when it is to hog them.
func terminals(arg string, hog bool) error {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	got := 0
	for range n {
		if _, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0); err != nil {
			break
		}
		got++
	}
	if hog {
		for range n / 5 {
			if _, err := unix.InotifyInit(); err != nil {
				return err
			}
		}
	}
	fmt.Println(got)
	for hog {
		time.Sleep(time.Hour)
	}
	return nil
}
