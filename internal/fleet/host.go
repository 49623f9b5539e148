package fleet

import "time"

// Host is a place that sandboxes run on, as its provider has it. One daemon at a time serves it;
// others that declare it too stand by.
type Host struct {
	Name string
	// Endpoint is the engine's address as the daemon declared it.
	Endpoint string
	Labels   map[string]string
	Capacity Capacity

	// Drained hosts keep what they have and get nothing new.
	Drained bool
	// Down says why it cannot be used now, in one sentence; empty when it can.
	Down string
	// Worker serves it until Until, renewed by heartbeat. Generation rises with each change of hands.
	Worker     string
	Until      time.Time
	Generation int64
	// Address is where people reach the API of the daemon that serves it, or did last; empty when that daemon did not say.
	Address string
	// Missed says that the record tells of its being lost.
	Missed bool
	// SeenAt is when its daemon last reported.
	SeenAt time.Time
}

// Capacity is what a host can hold. Zero fields are not bounded.
type Capacity struct {
	Environments int64 `json:"environments"`
	MilliCPUs    int64 `json:"milli_cpus"`
	MemoryMiB    int64 `json:"memory_mib"`
}

// LostAfter is how long a host's daemon may be silent before the host counts as lost. One that holds it for longer than that is not
// silent before its time is over.
const LostAfter = 60 * time.Second

// LostFrom is the time after which the host is lost, unless its daemon reports.
func (h Host) LostFrom() time.Time {
	from := h.SeenAt.Add(LostAfter)
	if h.Worker != "" && h.Until.After(from) {
		return h.Until
	}
	return from
}

// Lost reports whether nobody has served the host for too long.
func (h Host) Lost(now time.Time) bool { return now.After(h.LostFrom()) }

// Served reports whether a daemon serves it at now. One that is not may be so for a moment only; see Lost.
func (h Host) Served(now time.Time) bool { return h.Worker != "" && now.Before(h.Until) }

// Usable reports whether new environments may be placed on it at now.
func (h Host) Usable(now time.Time) bool { return !h.Drained && h.Down == "" && h.Served(now) }

// MilliCPUs is a size's share of a host, in thousandths of a core, rounded up.
func (s Size) MilliCPUs() int64 {
	whole := int64(s.CPUs * 1000)
	if float64(whole) < s.CPUs*1000 {
		whole++
	}
	return whole
}
