package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// forge sends one UDP packet with a source that is not this sandbox's: "SOURCE,DESTINATION", both with a port. It
// needs the capability NET_RAW.
func forge(arg string) error {
	from, to, _ := strings.Cut(arg, ",")
	src, err := netip.ParseAddrPort(from)
	if err != nil {
		return err
	}
	dst, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	const payload = "forged"
	s, d := src.Addr().As4(), dst.Addr().As4()
	packet := make([]byte, 28, 28+len(payload)) // the kernel fills in length, id and checksum of the IP header
	packet[0], packet[8], packet[9] = 0x45, 64, unix.IPPROTO_UDP
	copy(packet[12:], s[:])
	copy(packet[16:], d[:])
	binary.BigEndian.PutUint16(packet[20:], src.Port())
	binary.BigEndian.PutUint16(packet[22:], dst.Port())
	binary.BigEndian.PutUint16(packet[24:], uint16(8+len(payload))) // a checksum of 0 is none
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("make a raw socket: %w", err)
	}
	return unix.Sendto(fd, append(packet, payload...), 0, &unix.SockaddrInet4{Addr: d})
}
