//go:build !linux

package docker

import "errors"

func hostMeans() error { return errors.New("this is not Linux") }

func killOnHost(string) (int, error) { return 0, hostMeans() }

func wakeOnHost(string) {}
