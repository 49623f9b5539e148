package pgtest

import (
	"errors"
	"os"
	"syscall"
)

// Freeze stops every process of the server where it is (SIGSTOP), as a suspended machine does: its connections stay open, and
// nothing is answered on them until Thaw. It does not meet processes of a server that has ended.
func (s *Server) Freeze() error { return s.signalAll(syscall.SIGSTOP) }

// Thaw lets the processes of a frozen server go on.
func (s *Server) Thaw() error { return s.signalAll(syscall.SIGCONT) }

// signalAll reaches the first process before its children, so that no child is added meanwhile by one that is stopped.
func (s *Server) signalAll(sig syscall.Signal) error {
	if !s.Running() {
		return nil
	}
	if err := s.process.Signal(sig); err != nil {
		return ignoreGone(err)
	}
	children, err := s.children()
	err = ignoreGone(err)
	for _, pid := range children {
		err = errors.Join(err, ignoreGone(syscall.Kill(pid, sig)))
	}
	return err
}

// ignoreGone drops the error of a process that has ended meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
