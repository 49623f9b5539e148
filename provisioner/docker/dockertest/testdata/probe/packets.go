package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// packets are the probes by UDP.
func packets(what, arg string) error {
	at, to, _ := strings.Cut(arg, ",")
	if what == "flows" {
		at, to = ":0", arg
	}
	pc, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp4", at)
	if err != nil {
		return err
	}
	defer pc.Close()
	b := make([]byte, 512)
	switch what {
	case "send":
		dst, err := net.ResolveUDPAddr("udp4", to)
		if err != nil {
			return err
		}
		_, err = pc.WriteTo([]byte("hello"), dst)
		return err
	case "hear":
		if err := pc.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)); err != nil {
			return err
		}
		_, _, err := pc.ReadFrom(b)
		return err
	case "flows":
		host, n, _ := strings.Cut(to, "-")
		most, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		for i := range most {
			// An error is told for a packet that was dropped before: it was sent all the same.
			_, _ = pc.WriteTo(b[:1], &net.UDPAddr{IP: net.ParseIP(host), Port: 10000 + i})
		}
		return nil
	}
	fmt.Println("listening")
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			return err
		}
		for once := true; once || what == "answer"; once = false {
			if _, err := pc.WriteTo(b[:n], from); err != nil && what == "echo" {
				return errors.Join(errors.New("answer"), err)
			}
			if what == "answer" {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
}
