//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func init() {
	attempts["read"] = func(a []string) (string, error) { return read(a[0]) }
	attempts["open-write"] = func(a []string) (string, error) { return openWrite(a[0]) }
	attempts["rewrite"] = func(a []string) (string, error) { return rewrite(a[0]) }
	attempts["sweep"] = func(a []string) (string, error) { return sweep(a[0], a[1:]) }
	attempts["find"] = func(a []string) (string, error) { return find(a[0], a[1]) }
	attempts["find-from"] = func(a []string) (string, error) { return findFrom(a[0]) }
	attempts["make-cgroup"] = func(a []string) (string, error) { return makeCgroup(a[0]) }
	attempts["mknod"] = mknod
	attempts["grow"] = func(a []string) (string, error) { return grow(a[0], a[1]) }
	attempts["setuid"] = func(a []string) (string, error) { return setuid(a[0]) }
	attempts["euid"] = func([]string) (string, error) { return euid() }
}

// read returns the first bytes of a file or a device.
func read(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer closed(f)
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return fmt.Sprintf("opened the directory %s", path), err
	}
	n, err := f.Read(make([]byte, 512))
	if errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%s is empty: %w", path, errNone) // masked by /dev/null
	}
	if errors.Is(err, unix.EAGAIN) {
		return "opened " + path, nil
	}
	return fmt.Sprintf("%d bytes of %s", n, path), err
}

// openWrite opens a file for writing, and writes nothing.
func openWrite(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	return "opened " + path + " for writing", f.Close()
}

// rewrite writes a file's own contents to it.
func rewrite(path string) (string, error) {
	was, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = f.Write(was)
	return fmt.Sprintf("wrote %q to %s", strings.TrimSpace(string(was)), path), errors.Join(err, f.Close())
}

// sweep looks for any writable file below a directory. Each exception is the end of a path.
func sweep(dir string, except []string) (string, error) {
	found, seen := "", 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil { // not readable, or gone since
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		seen++
		if slices.ContainsFunc(except, func(end string) bool { return strings.HasSuffix(path, end) }) {
			return nil
		}
		if said, err := openWrite(path); err == nil {
			found = said
			return filepath.SkipAll
		}
		return nil
	})
	if err == nil && found == "" {
		err = fmt.Errorf("none of %d files can be written", seen)
	}
	return found, err
}

// find looks for a file of the host where it may be visible: through a mount, or through the links of /proc.
func find(by, path string) (string, error) {
	roots := []string{"", "/host"}
	if by == "proc" {
		procs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return "", err
		}
		roots = nil
		for _, p := range procs {
			roots = append(roots, p+"/root", p+"/cwd/../../../../../..")
		}
	}
	last := errNone
	for _, root := range roots {
		place := root + path // not joined: ".." must apply behind the link of /proc
		said, err := read(place)
		if err == nil {
			return said, nil
		}
		last = err
	}
	return "", last
}

// findFrom looks for a file of the host above the directory that this process was started in.
func findFrom(path string) (string, error) {
	var last error
	for _, up := range []string{".", "..", "../../../../../../../.."} {
		if _, last = read(up + path); last == nil {
			return "read " + up + path, nil
		}
	}
	return "", last
}

// makeCgroup makes a cgroup and removes it. A directory that is not a cgroup has none either.
func makeCgroup(path string) (string, error) {
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "cgroup.procs")); err != nil {
		return "", err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", err
	}
	return "made " + path, os.Remove(path)
}

// mknod makes a device (kind, major, minor) in /dev, the one file system that may have any, and opens it: making it alone would reach
// nothing.
func mknod(a []string) (string, error) {
	kind := uint32(unix.S_IFCHR)
	if a[0] == "b" {
		kind = unix.S_IFBLK
	}
	major, err1 := strconv.ParseUint(a[1], 10, 32)
	minor, err2 := strconv.ParseUint(a[2], 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return "", brokenf("%v", err)
	}
	path := fmt.Sprintf("/dev/bothy-probe-%d", os.Getpid())
	if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(uint32(major), uint32(minor)))); err != nil {
		return "", fmt.Errorf("mknod: %w", err)
	}
	defer removed(path)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	return fmt.Sprintf("opened device %s %s:%s", a[0], a[1], a[2]), unix.Close(fd)
}

// grow extends a file by some KiB, and truncates it again.
func grow(path, kib string) (string, error) {
	n, err := strconv.Atoi(kib)
	if err != nil {
		return "", brokenf("%v", err)
	}
	was, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return "", err
	}
	defer closed(f)
	block := []byte("\n" + strings.Repeat("#", 1022) + "\n")
	for range n {
		if _, err := f.Write(block); err != nil {
			return "", errors.Join(err, f.Truncate(was.Size()))
		}
	}
	return fmt.Sprintf("%s accepted %d KiB", path, n), f.Truncate(was.Size())
}

// setuid runs a copy of this program that belongs to root and has the setuid bit.
func setuid(path string) (string, error) {
	out, err := exec.Command(path, "try", "euid").Output()
	if err != nil {
		return "", err
	}
	if said := string(out); !strings.HasPrefix(said, "reached") {
		return "", errors.New(oneLine(said))
	}
	return oneLine(string(out)), nil
}

// euid reports whether this process has another user id.
func euid() (string, error) {
	if os.Geteuid() == os.Getuid() {
		return "", fmt.Errorf("still uid %d", os.Getuid())
	}
	return fmt.Sprintf("uid %d became %d", os.Getuid(), os.Geteuid()), nil
}
