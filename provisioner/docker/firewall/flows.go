package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

// The kernel remembers connections by address, for up to days, and rules let what belongs to one pass. An
// address that is given to the next sandbox must bring none with it: what the one before began, somebody else may answer.

// ErrFlowsStay is why connections of an address cannot be forgotten.
var ErrFlowsStay = errors.New("bothyd is not root and there is no command conntrack for sudo to run")

// flushTries bounds how often the table is read until nothing of a slot is in it.
const flushTries = 5

// Flush makes the kernel forget all connections from or to an address of a range.
func (t *Tables) Flush(ctx context.Context, of netip.Prefix) error {
	if !t.root {
		return t.flushBySudo(ctx, of)
	}
	return flushFlows(of)
}

// flushFlows does so itself. It reads the table again until it finds nothing: a table that changes may be read in part.
func flushFlows(of netip.Prefix) (err error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return fmt.Errorf("open the table of connections: %w", err)
	}
	defer func() { _ = c.Close() }()
	for range flushTries {
		flows, err := FlowsOf(c, of)
		if err != nil || len(flows) == 0 {
			return err
		}
		for _, f := range flows {
			if err := c.Delete(f); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("forget a connection of %s: %w", of, err)
			}
		}
	}
	return fmt.Errorf("connections of %s are still made", of)
}

// FlowsOf lists the connections in which an address of a range takes part, on either side of a translation.
func FlowsOf(c *conntrack.Conn, of netip.Prefix) (found []conntrack.Flow, err error) {
	all, err := c.Dump(nil)
	if err != nil {
		return nil, fmt.Errorf("read the table of connections: %w", err)
	}
	for _, f := range all {
		for _, ip := range []conntrack.IPTuple{f.TupleOrig.IP, f.TupleReply.IP} {
			if of.Contains(ip.SourceAddress) || of.Contains(ip.DestinationAddress) {
				found = append(found, f)
				break
			}
		}
	}
	return found, nil
}

// flushBySudo is for a bothyd that is not root.
func (t *Tables) flushBySudo(ctx context.Context, of netip.Prefix) error {
	if _, err := t.look("conntrack"); err != nil {
		return ErrFlowsStay
	}
	for _, side := range []string{"--orig-src", "--orig-dst", "--reply-src", "--reply-dst"} {
		_, err := t.Do(ctx, "", "conntrack", "-D", side, of.String())
		if err != nil && !strings.Contains(err.Error(), "0 flow entries have been deleted") { // it fails when there is none
			return err
		}
	}
	return nil
}
