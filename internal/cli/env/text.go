package env

import (
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

func blueprintName(env wire.Environment) string {
	return format.Clean(env.Blueprint.Name + "@" + env.Blueprint.Version)
}

// localTime prints a time as the clock on the wall has it; the day only when it is another one.
func localTime(f *cmdutil.Factory, t time.Time) string {
	t = t.Local()
	now := f.Now().Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("Mon 2 Jan 15:04")
}

// left prints what is left of a lease: the whole of one that has not begun.
func left(env wire.Environment) string {
	switch {
	case env.State == "warm" || env.State == "destroying" || env.State == "destroyed":
		return "-" // nobody's
	case env.Lease.LeftSeconds <= 0 && env.Lease.End != nil:
		return "over"
	}
	s := format.Duration(time.Duration(env.Lease.LeftSeconds) * time.Second)
	if env.Lease.Warning {
		return s + " !"
	}
	return s
}

// stateColor marks what needs a look.
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

// at begins a command that uses an environment: it is asked of the daemon that can reach its host.
func at(env wire.Environment) string {
	if env.DaemonAddress == "" {
		return "bothy"
	}
	return "bothy --host " + format.Clean(env.DaemonAddress)
}
