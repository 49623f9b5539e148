package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// section measures rows that belong together.
type section struct {
	rows []string
	run  func(context.Context) error
}

// sections are all sections, in the order of the table.
func (b *bench) sections() []section {
	lifecycle := []string{"cold-create", "cold-create/plain", b.manyOf("cold-create"), b.manyOf("cold-create") + "/plain",
		"delete", "delete/plain", b.manyOf("delete"), b.manyOf("delete") + "/plain"}
	list := fmt.Sprintf("ls-%d", b.fleet)
	all := []section{
		{lifecycle, b.lifecycle},
		{[]string{"broker", "broker/calls", "broker/memory"}, b.broker},
		{[]string{"exec", "exec/client"}, b.exec},
		{[]string{list, list + "/client", "version"}, b.list},
		{[]string{"idle-memory", "idle-cpu", "idle-providers", "idle-memory/fleet", "idle-cpu/fleet"}, b.idle},
		{[]string{"warm-claim", "first-command"}, func(ctx context.Context) error { return b.claim(ctx, false) }},
		{[]string{"warm-claim/paused", "first-command/paused"}, func(ctx context.Context) error { return b.claim(ctx, true) }},
		{[]string{"exec/load", "warm-claim/load", "lease-end/load"}, b.load},
		{[]string{b.manyOf("refill")}, b.refill},
		{[]string{"recovery"}, b.recovery},
		{[]string{"claims/sqlite", "claims/store-sqlite"}, b.claimsSQLite},
		{[]string{"claims/postgres", "claims/store-postgres"}, b.claimsPostgres},
	}
	for _, size := range []int{b.large / 100, b.large / 10} {
		all = append(all, section{growthRows(size), func(ctx context.Context) error { return b.growth(ctx, size, false) }})
	}
	return append(all, section{append(growthRows(b.large), "reaper-lateness", b.listOf()),
		func(ctx context.Context) error { return b.growth(ctx, b.large, true) }})
}

func (b *bench) manyOf(name string) string { return name + "-" + strconv.Itoa(b.many) }

func (b *bench) listOf() string { return fmt.Sprintf("ls-50-of-%d", b.large) }

// growthRows are the rows of an installation of a given size.
func growthRows(size int) []string {
	return []string{
		fmt.Sprintf("growth/claim-%d", size), fmt.Sprintf("growth/admit-%d", size),
		fmt.Sprintf("growth/tick-%d", size), fmt.Sprintf("growth/plan-%d", size),
		fmt.Sprintf("growth/rest-%d", size),
	}
}

// names are names of rows; none means all.
type names []string

// String returns the text of the flag.
func (n *names) String() string { return strings.Join(*n, ",") }

// Set parses the text of the flag.
func (n *names) Set(text string) error {
	*n = append(*n, strings.Split(text, ",")...)
	return nil
}

// has reports whether a row was requested.
func (n names) has(row string) bool {
	return len(n) == 0 || slices.ContainsFunc(n, func(name string) bool { return covers(name, row) })
}

func (n names) any(rows []string) bool { return slices.ContainsFunc(rows, n.has) }

// covers reports whether a name includes a row.
func covers(name, row string) bool { return row == name || strings.HasPrefix(row, name+"/") }

// known returns the names that include no row.
func (n names) known(all []section) error {
	var rows []string
	for _, s := range all {
		rows = append(rows, s.rows...)
	}
	for _, name := range n {
		if !slices.ContainsFunc(rows, func(row string) bool { return covers(name, row) }) {
			return fmt.Errorf("-only: unknown row %q; the rows are %s", name, strings.Join(rows, ", "))
		}
	}
	return nil
}

// daemon returns the daemon of a name, and starts it first if it is not running.
func (b *bench) daemon(ctx context.Context, name string, flags ...string) (*daemon, error) {
	if d := b.daemons[name]; d != nil {
		return d, nil
	}
	b.say("starting bothyd (%s)", name)
	real := !slices.Contains(flags, fakeDriver)
	if b.concurrency > 0 && real {
		flags = append(flags, "--concurrency="+strconv.Itoa(b.concurrency))
	}
	d, err := startDaemon(ctx, b, name, real, flags...)
	if d != nil {
		b.daemons[name] = d // even one that is not ready, so that it is stopped
	}
	return d, err
}

// warm returns the daemon that the goals apply to.
func (b *bench) warm(ctx context.Context) (*daemon, error) { return b.daemon(ctx, "warm") }

// stop ends a daemon if it runs, also after Ctrl-C.
func (b *bench) stop(ctx context.Context, name string) error {
	d := b.daemons[name]
	if d == nil {
		return nil
	}
	delete(b.daemons, name)
	return d.stop(context.WithoutCancel(ctx))
}

// byHand returns the manual way, set up once.
func (b *bench) byHand(ctx context.Context) (*byHand, error) {
	if b.hand != nil {
		return b.hand, nil
	}
	h, err := newByHand(ctx, b)
	b.hand = h
	if err != nil {
		return nil, fmt.Errorf("set up doing it by hand: %w", err)
	}
	return h, nil
}
