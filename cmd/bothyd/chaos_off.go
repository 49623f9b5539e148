//go:build !chaos

package main

import (
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// A release is what it is: nothing watches its calls, its clock is the machine's.

func watchDriver(d provisioner.Driver) provisioner.Driver { return d }

func watchRuntime(r capable) capable { return r }

func machineClock() func() time.Time { return nil }

func tellGoroutines() {}
