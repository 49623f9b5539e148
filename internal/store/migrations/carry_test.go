package migrations_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCarriesRecordsOver brings a database of the time before tenants and accounts up and down again:
// nothing that was charged or told is lost, and who has environments is counted.
func TestCarriesRecordsOver(t *testing.T) { eachDatabase(t, carriesRecordsOver) }

func carriesRecordsOver(t *testing.T, o opened) {
	db, p := o.DB, o.Provider
	if _, err := p.UpTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO environments VALUES ('a', 'one', 'ada', 'hello', '', '', 'build', '1', 'd', 'small', 1.0005, 100, 1, 30, 'USD', 'i',
			'', '/', '', 'leased', '', '', 1, 1, 1, 1, 1, '', '', 0, 0, 0, 0, 0, '', '', '', 5, 5, 5, 0, 5, 0)`,
		`INSERT INTO environments VALUES ('b', 'two', 'ada', '', '', '', 'build', '1', 'd', 'small', 0.5, 50, 1, 30, 'USD', 'i',
			'', '/', '', 'destroyed', '', '', 1, 1, 1, 1, 1, '', '', 0, 0, 0, 0, 0, '', '', '', 5, 5, 5, 0, 5, 0)`,
		`INSERT INTO entries VALUES (1, 9, 'b', 'ada', 'build@1', 'environment', 5, 9, 77, 'USD')`,
		`INSERT INTO events VALUES (1, 5, 'a', 'k', 'm', 'ada')`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	text := func(query string) string {
		t.Helper()
		var got string
		if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	const old = `SELECT e.seq || ' ' || e.at || ' ' || e.owner || ' ' || e.blueprint || ' ' || account || ' ' || e.from_at || ' ' || e.until_at || ' ' ||
		amount_micros || ' ' || e.currency || ', ' || v.kind || ' ' || v.actor FROM entries e, events v`
	before := text(old)
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A daemon of before still runs and records what it sees.
	const olderDaemons = `INSERT INTO events (seq, at, environment_id, pool, host, tenant, team, owner, kind, message, actor)
		VALUES (2, 6, 'a', '', '', 'default', 'default', 'ada', 'resource.seen', 'volume x, id y', 'bothyd')`
	if _, err := db.ExecContext(t.Context(), olderDaemons); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		`SELECT tenant || ' ' || team || ' ' || owner || ' ' || size || ' ' || debit || ' ' || credit || ' ' || from_at || ' ' || until_at || ' ' ||
			rate_micros || ' ' || amount_micros FROM entries`: "default default ada small leased capacity 5 9 30 77",
		"SELECT tenant || ' ' || owner || ' ' || kind FROM events WHERE seq = 1":                            "default ada k",
		"SELECT string_agg(message || ':' || data, ', ') FROM (SELECT * FROM events ORDER BY seq) AS lines": "m:, volume x, id y:",
		"SELECT string_agg(share, ', ') FROM environments":                                                  "nobody, nobody", // there was no organisation
		`SELECT string_agg(line, ', ') FROM (SELECT kind || ' ' || name || ' ' || environments || ' ' || milli_cpus || ' ' || memory_mib AS line
			FROM usage ORDER BY kind) AS lines`: "team default 1 1001 100, tenant  1 1001 100, user ada 1 1001 100",
	} {
		if diff := cmp.Diff(want, text(query)); diff != "" {
			t.Errorf("%s:\n%s", query, diff)
		}
	}
	if _, err := db.ExecContext(t.Context(), "DELETE FROM events WHERE seq = 2"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, text(old)); diff != "" {
		t.Errorf("down again:\n%s", diff)
	}
}
