package env

import (
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

func blueprintName(env wire.Environment) string {
	return format.Clean(env.Blueprint.Name + "@" + env.Blueprint.Version)
}

// localTime formats a time in the local zone, with the day only if it is not today.
func localTime(f *cmdutil.Factory, t time.Time) string {
	t = t.Local()
	now := f.Now().Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("Mon 2 Jan 15:04")
}

// left formats the time left of a lease; a lease that has not started has all of it left.
func left(env wire.Environment) string {
	switch {
	case env.State == "warm" || env.State == "destroying" || env.State == "destroyed":
		return "-" // no lease
	case env.Lease.LeftSeconds <= 0 && env.Lease.End != nil:
		return "expired"
	}
	s := format.Duration(time.Duration(env.Lease.LeftSeconds) * time.Second)
	if env.Lease.Warning {
		return s + " !"
	}
	return s
}

// stateColor returns the colour of a state.
func stateColor(state string) string {
	switch state {
	case "leased", "warm":
		return iostreams.Green
	case "failed":
		return iostreams.Red
	case "destroying", "destroyed":
		return iostreams.Dim
	}
	return iostreams.Yellow
}

// cold describes a cold start: why no warm environment was used.
func cold(env wire.Environment) string { return fmt.Sprintf("cold (%s)", format.Clean(env.Cold)) }

// at returns the start of a command line that uses an environment, with the address of the daemon that can reach its host.
func at(env wire.Environment) string {
	if env.DaemonAddress == "" {
		return "bothy"
	}
	return "bothy --host " + format.Clean(env.DaemonAddress)
}
