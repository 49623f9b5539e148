package plan

import (
	"fmt"
	"strings"
)

// CauseKind is a stable word for machines: why something cannot be started now.
type CauseKind string

// The kinds of cause.
const (
	// CauseBusy: as many environments as allowed are being made.
	CauseBusy CauseKind = "busy"
	// CauseFull: no host has room. CauseRestFull: none of those that can be used has; what keeps the others comes beside it.
	CauseFull     CauseKind = "full"
	CauseRestFull CauseKind = "rest-full"
	// CauseKept: the room that is left is kept for a larger request that comes before.
	CauseKept CauseKind = "kept"
	// CauseDrained, CauseDown and CauseUnserved: Host cannot be used. Detail of CauseDown says what its daemon found.
	CauseDrained  CauseKind = "host-drained"
	CauseDown     CauseKind = "host-down"
	CauseUnserved CauseKind = "host-unserved"
	// CauseUnavailable: nothing can be made on a host now; Detail says why.
	CauseUnavailable CauseKind = "unavailable"
	// CauseNoHost: none is declared. CauseNoneServed: none of them is served. CauseTooLarge: none is large enough.
	CauseNoHost     CauseKind = "no-host"
	CauseNoneServed CauseKind = "none-served"
	CauseTooLarge   CauseKind = "too-large"
)

// Cause is one reason why something cannot be started now. The zero value stands for none. Code compares Kind; Text is for people.
type Cause struct {
	Kind CauseKind
	// Host is whose it is, Detail what somebody else said of it; which kinds have them is said there.
	Host, Detail string
}

// Text is the cause in words, without a full stop; empty for none.
func (c Cause) Text() string {
	switch c.Kind {
	case CauseBusy:
		return "as many environments as allowed are being made"
	case CauseFull:
		return "all hosts are full"
	case CauseRestFull:
		return "all hosts that can be used are full"
	case CauseKept:
		return "the room that is left is kept for a larger request that comes before"
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

// Text is causes in words, in their order.
func Text(causes []Cause) string {
	texts := make([]string, len(causes))
	for i, c := range causes {
		texts[i] = c.Text()
	}
	return strings.Join(texts, "; ")
}
