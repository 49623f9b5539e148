//go:build !linux

package docker

import (
	"context"
	"net"
)

// process is none where no network namespaces are.
type process struct{}

func (*process) release() {}

func portMeans() error { return hostMeans() }

func enter(string, mainProcess) (fd int, p *process, started uint64, err error) {
	return 0, nil, 0, hostMeans()
}

func connect(context.Context, int, int) (net.Conn, error) { return nil, hostMeans() }

func listen(int, *process, int) (net.Listener, error) { return nil, hostMeans() }
