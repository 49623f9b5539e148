package ports

import (
	"errors"

	"golang.org/x/sys/unix"
)

// SetMain makes Ports believe that a process is a sandbox's main one; started is 0 when that is not known.
func (p *Ports) SetMain(id string, pid int, started uint64) {
	p.mains.put(id, mainProcess{pid, started})
}

// Main returns what Ports believes.
func (p *Ports) Main(id string) (pid int, started uint64) {
	main, _ := p.mains.get(id)
	return main.pid, main.started
}

// FailSetns makes the way back out of a sandbox's network namespace fail, and returns the way back to the tests'.
func FailSetns() (restore func()) {
	own := machines()[0].Ino
	setns = func(fd, kind int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Ino == own {
			return errors.Join(err, unix.EPERM)
		}
		return unix.Setns(fd, kind)
	}
	return func() { setns = unix.Setns }
}
