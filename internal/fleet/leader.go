package fleet

import (
	"strings"
	"time"
)

// Leader is the daemon that plans for all daemons of a database.
type Leader struct {
	// Worker leads until Until, renewed by heartbeat; "" when nobody leads. Address is its API address, "" if it gave none.
	Worker, Address string
	Until           time.Time
	// Generation rises each time another worker takes the lead.
	Generation int64
	// Since is when it took the lead, PlannedAt when it last made a plan, as reported.
	Since, PlannedAt time.Time
}

// Leads reports whether somebody leads at now.
func (l Leader) Leads(now time.Time) bool { return l.Worker != "" && now.Before(l.Until) }

// DaemonOf is the daemon of a worker id, which is "<daemon>.<process>".
func DaemonOf(worker string) string {
	daemon, _, _ := strings.Cut(worker, ".")
	return daemon
}
