//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attempts["tcp"] = func(a []string) (string, error) { return dial("tcp", a[0]) }
	attempts["unix"] = func(a []string) (string, error) { return dial("unix", a[0]) }
	attempts["udp"] = func(a []string) (string, error) { return ask(a[0]) }
	attempts["dns"] = func(a []string) (string, error) { return lookUp(a[0]) }
	attempts["socket"] = func(a []string) (string, error) { return socket(a[0], a[1]) }
	attempts["option"] = func(a []string) (string, error) { return option(a[0]) }
	attempts["interface"] = func(a []string) (string, error) { return changeInterface(a[0]) }
	attempts["route"] = func(a []string) (string, error) { return changeRoute(a[0]) }
	attempts["forge"] = func(a []string) (string, error) { return forge(a[0], a[1], a[2]) }
}

// dial opens a connection; that suffices.
func dial(network, addr string) (string, error) {
	c, err := net.DialTimeout(network, addr, wait)
	if err != nil {
		return "", err
	}
	return "connected to " + addr, c.Close()
}

// ask sends datagrams until one is answered.
func ask(addr string) (string, error) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return "", err
	}
	defer closed(c)
	deadline := time.Now().Add(wait)
	for time.Now().Before(deadline) {
		if _, err = c.Write([]byte("hello")); err != nil {
			continue
		}
		if err := c.SetReadDeadline(time.Now().Add(wait / 4)); err != nil {
			return "", err
		}
		if _, err = c.Read(make([]byte, 64)); err == nil {
			return "answered by " + addr, nil
		}
	}
	return "", fmt.Errorf("no answer: %w", err)
}

// lookUp asks the container's own resolver.
func lookUp(name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %v", name, addrs), nil
}

func answerStreams(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		_ = c.Close() // its existence suffices
	}
}

func answerDatagrams(pc net.PacketConn) error {
	b := make([]byte, 512)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			return err
		}
		if text := string(b[:n]); strings.HasPrefix(text, "forged-") {
			fmt.Println("heard " + text)
			continue
		}
		if _, err := pc.WriteTo(b[:n], from); err != nil {
			return err
		}
	}
}

// sockets are the families and kinds that a build does not need.
var sockets = map[string][3]int{
	"packet":    {unix.AF_PACKET, unix.SOCK_RAW, 0},
	"packet-dg": {unix.AF_PACKET, unix.SOCK_DGRAM, 0},
	"icmp":      {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
	"raw":       {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
	"raw6":      {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
	"vsock":     {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
	"vsock-dg":  {unix.AF_VSOCK, unix.SOCK_DGRAM, 0},
	"alg":       {unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
	"xdp":       {unix.AF_XDP, unix.SOCK_RAW, 0},
	"bluetooth": {unix.AF_BLUETOOTH, unix.SOCK_RAW, 1},
	"can":       {unix.AF_CAN, unix.SOCK_RAW, 1},
	"tipc":      {unix.AF_TIPC, unix.SOCK_STREAM, 0},
	"rds":       {unix.AF_RDS, unix.SOCK_SEQPACKET, 0},
	"netfilter": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
	"audit":     {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
	"uevent":    {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT},
}

// socket makes a socket, and binds one of a family whose ports are the machine's.
func socket(name, what string) (string, error) {
	s, ok := sockets[name]
	if !ok {
		return "", brokenf("unknown socket %q", name)
	}
	fd, err := unix.Socket(s[0], s[1]|unix.SOCK_CLOEXEC, s[2])
	if err != nil {
		return "", err
	}
	defer release(fd)
	switch what {
	case "open":
		return "a socket of " + name, nil
	case "bind": // an unused port above all reserved ones
		err = unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: unix.VMADDR_PORT_ANY})
		return "bound " + name, err
	case "multicast": // all groups of a netlink family: the kernel's messages to the machine's owner
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
		return "joined the groups of " + name, err
	}
	return "", brokenf("unknown use %q of a socket", what)
}

// option sets an option of a UDP socket that changes what may be sent, or whom the sender counts as.
func option(name string) (string, error) {
	kind := unix.SOCK_DGRAM
	if name == "repair" {
		kind = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer release(fd)
	switch name {
	case "transparent":
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	case "mark":
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1)
	case "priority":
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 7)
	case "buffer":
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	case "repair":
		err = unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, 1)
	case "debug":
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DEBUG, 1)
	default:
		return "", brokenf("unknown option %q", name)
	}
	return "set " + name, err
}

// changeInterface sets a property of the loopback interface to its current value, which requires the permission to change it.
func changeInterface(what string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer release(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return "", err
	}
	switch what {
	case "flags":
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
			return "", err
		}
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
	case "mtu":
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFMTU, req); err != nil {
			return "", err
		}
		err = unix.IoctlIfreq(fd, unix.SIOCSIFMTU, req)
	case "address":
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFADDR, req); err != nil {
			return "", err
		}
		err = unix.IoctlIfreq(fd, unix.SIOCSIFADDR, req)
	case "tunnel":
		tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		defer closed(tun)
		named, err := unix.NewIfreq("bothyprobe")
		if err != nil {
			return "", err
		}
		named.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return "made a tunnel", unix.IoctlIfreq(int(tun.Fd()), unix.TUNSETIFF, named)
	default:
		return "", brokenf("unknown property %q of an interface", what)
	}
	return "changed " + what + " of lo", err
}

// routeRequests are changes of the network, as netlink messages: the type, and the body after the header.
var routeRequests = map[string]struct {
	kind, flags uint16
	body        func() []byte
}{
	"link":    {unix.RTM_NEWLINK, unix.NLM_F_CREATE | unix.NLM_F_EXCL, linkBody},
	"address": {unix.RTM_NEWADDR, unix.NLM_F_CREATE | unix.NLM_F_REPLACE, addressBody},
	"route":   {unix.RTM_NEWROUTE, unix.NLM_F_CREATE | unix.NLM_F_REPLACE, routeBody},
	"rule":    {unix.RTM_NEWRULE, unix.NLM_F_CREATE | unix.NLM_F_EXCL, ruleBody},
}

// changeRoute asks the kernel for a change by netlink. The change ends with the network namespace, or has no effect.
func changeRoute(what string) (string, error) {
	r, ok := routeRequests[what]
	if !ok {
		return "", brokenf("unknown change %q of the network", what)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return "", err
	}
	defer release(fd)
	body := r.body()
	msg := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
	binary.NativeEndian.PutUint32(msg, uint32(unix.NLMSG_HDRLEN+len(body)))
	binary.NativeEndian.PutUint16(msg[4:], r.kind)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK|r.flags)
	if err := unix.Sendto(fd, append(msg, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return "", err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return "", err
	}
	if n < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return "", errors.New("the kernel's answer is not an acknowledgement")
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); code != 0 {
		return "", unix.Errno(-code)
	}
	return "made a " + what, nil
}

func attribute(kind uint16, data []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, data...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func linkBody() []byte {
	kind := attribute(unix.IFLA_INFO_KIND, []byte("bridge"))
	return append(make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_LINKINFO, kind)...)
}

func addressBody() []byte {
	addr := []byte{127, 9, 9, 9}
	b := []byte{unix.AF_INET, 32, 0, 0, 1, 0, 0, 0} // of lo
	return append(append(b, attribute(unix.IFA_LOCAL, addr)...), attribute(unix.IFA_ADDRESS, addr)...)
}

func routeBody() []byte {
	lo := binary.NativeEndian.AppendUint32(nil, 1)
	b := []byte{unix.AF_INET, 32, 0, 0, 253, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
	return append(append(b, attribute(unix.RTA_DST, []byte{203, 0, 113, 9})...), attribute(unix.RTA_OIF, lo)...)
}

func ruleBody() []byte { // a rule that leads to an empty table
	b := []byte{unix.AF_INET, 32, 0, 0, 253, 0, 0, 1, 0, 0, 0, 0}
	return append(b, attribute(unix.FRA_DST, []byte{203, 0, 113, 9})...)
}

// forge sends a datagram with a forged source. The receiver reports whether it arrives.
func forge(from, to, text string) (string, error) {
	src, err := netip.ParseAddrPort(from)
	if err != nil {
		return "", brokenf("%v", err)
	}
	dst, err := netip.ParseAddrPort(to)
	if err != nil {
		return "", brokenf("%v", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return "", err
	}
	defer release(fd)
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0} // the kernel adds length, id and checksum
	b = append(append(b, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(text)))
	b = append(append(b, 0, 0), text...) // no checksum
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: dst.Addr().As4()}); err != nil {
		return "", err
	}
	return "sent to " + to + " as " + from, nil
}

// freebind binds an address that is not this machine's, and sends from it.
func init() {
	attempts["freebind"] = func(a []string) (string, error) {
		to, err := netip.ParseAddrPort(a[1])
		if err != nil {
			return "", brokenf("%v", err)
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		defer release(fd)
		opt := unix.IP_FREEBIND
		if len(a) > 2 && a[2] == "transparent" {
			opt = unix.IP_TRANSPARENT
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, opt, 1); err != nil {
			return "", err
		}
		from, err := netip.ParseAddr(a[0])
		if err != nil {
			return "", brokenf("%v", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
			return "", err
		}
		if err := unix.Sendto(fd, []byte("forged"), 0, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
			return "", err
		}
		return "sent as " + a[0], nil
	}
	// get queries an HTTP service behind a unix socket: an engine's answer proves more than a connection.
	attempts["get"] = func(a []string) (string, error) {
		c, err := net.DialTimeout("unix", a[0], wait)
		if err != nil {
			return "", err
		}
		defer closed(c)
		if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
			return "", err
		}
		if _, err := io.WriteString(c, "GET "+a[1]+" HTTP/1.0\r\nHost: probe\r\n\r\n"); err != nil {
			return "", err
		}
		line := make([]byte, 64)
		n, err := c.Read(line)
		if err != nil {
			return "", err
		}
		first, _, _ := strings.Cut(string(line[:n]), "\r")
		return first, nil
	}
}

// kept keeps the buffers of system calls on the heap and alive.
var kept [][]byte

// pointer returns a buffer's address for a system call.
func pointer(b []byte) uintptr {
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0])) //nolint:gosec // a system call takes addresses
}
