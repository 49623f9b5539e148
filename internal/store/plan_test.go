package store_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestQueriesUseIndexes asks SQLite how it would run what is run often: each
// must go by an index that leaves gone environments out, as those only grow in number.
func TestQueriesUseIndexes(t *testing.T) {
	s := openAt(t, dsn(t.TempDir()))
	for name, c := range map[string]struct{ query, index string }{
		"live":      {"SELECT reason FROM environments WHERE state <> 'destroyed' ORDER BY id", "environments_live "},
		"list":      {"SELECT reason FROM environments WHERE state <> 'destroyed' ORDER BY created_at DESC, id LIMIT 51", "environments_live_created"},
		"list all":  {"SELECT reason FROM environments ORDER BY created_at DESC, id LIMIT 51", "environments_created"},
		"take work": {s.TakeWorkSQL(1), "environments_work"},
		"leave":     {s.TakeWorkOfSQL(1, 2), "environments_work"},
		"admit":     {"SELECT id FROM environments WHERE tenant = 't' AND owner = 'a' AND idempotency_key = 'b' AND idempotency_key <> ''", "environments_idempotency"},
		"name":      {"SELECT COUNT(*) FROM environments WHERE tenant = 't' AND name = 'a' AND state <> 'destroyed'", "environments_live_name"},
		"events":    {"SELECT message FROM events WHERE seq > 5 AND environment_id = 'a' ORDER BY seq LIMIT 5", "events_environment"},
	} {
		// The plan does not depend on the values.
		rows, err := s.ReadDB().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+regexp.MustCompile(`\$\d`).ReplaceAllString(c.query, "1"))
		if err != nil {
			t.Fatal(err)
		}
		plan := ""
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan += detail + " \n"
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, c.index) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s does not go by %s alone:\n%s", name, c.index, plan)
		}
	}
}
