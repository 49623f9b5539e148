package fleet

import "time"

// Host is a place where sandboxes run. One daemon at a time serves it; other daemons that declare it stand by.
type Host struct {
	Name string
	// Endpoint is the engine's address as its daemon declared it.
	Endpoint string
	Labels   map[string]string
	Capacity Capacity

	// A drained host keeps its environments and gets no new ones.
	Drained bool
	// Down is why it cannot be used now, in one sentence; empty when it can.
	Down string
	// Worker serves it until Until, renewed by heartbeat. Generation rises each time another worker takes it.
	Worker     string
	Until      time.Time
	Generation int64
	// Address is the API address of the daemon that serves it, or did last; empty if that daemon gave none.
	Address string
	// Missed: an event reports the host as lost.
	Missed bool
	// SeenAt is when its daemon last reported.
	SeenAt time.Time
}

// Capacity is how much a host can run. Zero means unlimited.
type Capacity struct {
	Environments int64 `json:"environments"`
	MilliCPUs    int64 `json:"milli_cpus"`
	MemoryMiB    int64 `json:"memory_mib"`
}

// LostAfter is how long a host's daemon may be silent before the host counts as lost. A daemon that holds the host for longer is not
// silent before its hold expires.
const LostAfter = 60 * time.Second

// LostFrom is when the host becomes lost unless its daemon reports.
func (h Host) LostFrom() time.Time {
	from := h.SeenAt.Add(LostAfter)
	if h.Worker != "" && h.Until.After(from) {
		return h.Until
	}
	return from
}

// Lost reports whether nobody has served the host for too long.
func (h Host) Lost(now time.Time) bool { return now.After(h.LostFrom()) }

// Served reports whether a daemon serves it at now. An unserved host may be so only for a moment; see Lost.
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
