package migrations_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/bothy-env/bothy/internal/store/migrations"
)

func open(t *testing.T) (*sql.DB, *goose.Provider) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // as the store has it
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := migrations.SQLite(db)
	if err != nil {
		t.Fatal(err)
	}
	return db, p
}

// schema gives the definition of everything in the database but the migrations' own table.
func schema(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT sql FROM sqlite_schema
		WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'goose%' AND tbl_name NOT LIKE 'sqlite%' ORDER BY type, name`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestThereAndBack goes up one step at a time, and at each step down and up again.
func TestThereAndBack(t *testing.T) {
	db, p := open(t)
	steps := [][]string{schema(t, db)}
	if len(steps[0]) != 0 {
		t.Fatalf("a new database holds %v", steps[0])
	}
	for _, source := range p.ListSources() {
		if _, err := p.UpByOne(t.Context()); err != nil {
			t.Fatalf("up to %d: %v", source.Version, err)
		}
		up := schema(t, db)
		if _, err := p.Down(t.Context()); err != nil {
			t.Fatalf("down from %d: %v", source.Version, err)
		}
		if diff := cmp.Diff(steps[len(steps)-1], schema(t, db)); diff != "" {
			t.Fatalf("down from %d left a difference:\n%s", source.Version, diff)
		}
		if _, err := p.UpByOne(t.Context()); err != nil {
			t.Fatalf("up to %d again: %v", source.Version, err)
		}
		if diff := cmp.Diff(up, schema(t, db)); diff != "" {
			t.Fatalf("up to %d again made a difference:\n%s", source.Version, diff)
		}
		steps = append(steps, up)
	}
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if left := schema(t, db); len(left) != 0 {
		t.Fatalf("all the way down leaves %v", left)
	}
	if err := migrations.Up(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(steps[len(steps)-1], schema(t, db)); diff != "" {
		t.Fatalf("all the way up again made a difference:\n%s", diff)
	}
}

func TestNewerDatabase(t *testing.T) {
	db, p := open(t)
	if err := migrations.Up(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	before := schema(t, db)
	err := migrations.Up(t.Context(), p)
	newer, ok := errors.AsType[*migrations.NewerError](err)
	if !ok || newer.Database != 999 || newer.Known != int64(len(p.ListSources())) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(before, schema(t, db)); diff != "" {
		t.Fatalf("the newer database was changed:\n%s", diff)
	}
}

// TestPortable keeps words out of the schema that only one database knows.
func TestPortable(t *testing.T) {
	db, p := open(t)
	if err := migrations.Up(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	only := regexp.MustCompile(`(?i)\b(AUTOINCREMENT|ROWID|BLOB|INTEGER|INT|SERIAL PRIMARY|BIGSERIAL|JSONB|STRICT|DATETIME|REAL)\b`)
	for _, statement := range schema(t, db) {
		if word := only.FindString(statement); word != "" {
			t.Errorf("%s is not portable:\n%s", word, statement)
		}
	}
}
