package plan

import (
	"fmt"
	"strings"
)

// CauseKind is a stable, machine-readable word for why something cannot be started now.
type CauseKind string

// The kinds of cause.
const (
	// CauseBusy: as many environments as allowed are being created.
	CauseBusy CauseKind = "busy"
	// CauseFull: no host has capacity. CauseRestFull: no usable host has; other causes say what keeps the others from being used.
	CauseFull     CauseKind = "full"
	CauseRestFull CauseKind = "rest-full"
	// CauseKept: the remaining capacity is reserved for a larger request ahead in the queue.
	CauseKept CauseKind = "kept"
	// CauseDrained, CauseDown and CauseUnserved: Host cannot be used. For CauseDown, Detail is its daemon's reason.
	CauseDrained  CauseKind = "host-drained"
	CauseDown     CauseKind = "host-down"
	CauseUnserved CauseKind = "host-unserved"
	// CauseUnavailable: nothing can be created on a host now; Detail says why.
	CauseUnavailable CauseKind = "unavailable"
	// CauseNoHost: no host is declared. CauseNoneServed: no host is served. CauseTooLarge: no host is large enough.
	CauseNoHost     CauseKind = "no-host"
	CauseNoneServed CauseKind = "none-served"
	CauseTooLarge   CauseKind = "too-large"
)

// Cause is one reason why something cannot be started now; the zero value is none. Code compares Kind; Text is for people.
type Cause struct {
	Kind CauseKind
	// Host is the host concerned, Detail another component's reason; the kinds document which is set.
	Host, Detail string
}

// Text is the cause in words, without a full stop; empty for none.
func (c Cause) Text() string {
	switch c.Kind {
	case CauseBusy:
		return "as many environments as allowed are being created"
	case CauseFull:
		return "all hosts are full"
	case CauseRestFull:
		return "all hosts that can be used are full"
	case CauseKept:
		return "the remaining capacity is reserved for a larger request ahead in the queue"
	case CauseDrained:
		return fmt.Sprintf("host %s is drained", c.Host)
	case CauseDown:
		return fmt.Sprintf("host %s cannot be used: %s", c.Host, c.Detail)
	case CauseUnserved:
		return fmt.Sprintf("host %s is not served by a running daemon", c.Host)
	case CauseUnavailable:
		return c.Detail
	case CauseNoHost:
		return "no engine host is declared"
	case CauseNoneServed:
		return "no host is served by a running daemon"
	case CauseTooLarge:
		return "it is larger than every host"
	}
	return string(c.Kind)
}

// Text joins causes in words, in their order.
func Text(causes []Cause) string {
	texts := make([]string, len(causes))
	for i, c := range causes {
		texts[i] = c.Text()
	}
	return strings.Join(texts, "; ")
}
