package migrations_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/bothy-env/bothy/internal/store/migrations"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// database is one of those that the migrations are for.
type database struct {
	driver string
	// dsn gives an empty one.
	dsn     func(t *testing.T) string
	migrate func(*sql.DB) (*goose.Provider, error)
	// schema gives the definition of everything in it but the migrations' own table, as rows of one text.
	schema string
}

var databases = map[string]database{
	"SQLite": {
		driver: "sqlite",
		dsn: func(t *testing.T) string {
			return "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=foreign_keys(1)"
		},
		migrate: migrations.SQLite,
		schema: `SELECT sql FROM sqlite_schema
			WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'goose%' AND tbl_name NOT LIKE 'sqlite%' ORDER BY type, name`,
	},
	"PostgreSQL": {
		driver:  "pgx",
		dsn:     func(t *testing.T) string { return pgtest.Shared(t).Bare(t) },
		migrate: migrations.PostgreSQL,
		schema: `SELECT text FROM (
				SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS text, table_name
					FROM information_schema.columns WHERE table_schema = 'public'
				UNION ALL SELECT format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid)), conrelid::regclass::text
					FROM pg_constraint WHERE connamespace = 'public'::regnamespace
				UNION ALL SELECT indexdef, tablename FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%\_pkey%'
				UNION ALL SELECT pg_get_triggerdef(oid), tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal
				UNION ALL SELECT prosrc, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
			) AS everything WHERE table_name NOT LIKE 'goose%' ORDER BY text`,
	},
}

// opened is a database under test.
type opened struct {
	*sql.DB
	*goose.Provider
	query string
}

func (d database) open(t *testing.T) opened {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // as the store has it with SQLite
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := d.migrate(db)
	if err != nil {
		t.Fatal(err)
	}
	return opened{DB: db, Provider: p, query: d.schema}
}

// eachDatabase runs a test on both.
func eachDatabase(t *testing.T, test func(t *testing.T, o opened)) {
	for name, d := range databases {
		t.Run(name, func(t *testing.T) { test(t, d.open(t)) })
	}
}

func (o opened) schema(t *testing.T) []string {
	t.Helper()
	rows, err := o.QueryContext(t.Context(), o.query)
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
func TestThereAndBack(t *testing.T) { eachDatabase(t, thereAndBack) }

func thereAndBack(t *testing.T, o opened) {
	steps := [][]string{o.schema(t)}
	if len(steps[0]) != 0 {
		t.Fatalf("a new database holds %v", steps[0])
	}
	for _, source := range o.ListSources() {
		if _, err := o.UpByOne(t.Context()); err != nil {
			t.Fatalf("up to %d: %v", source.Version, err)
		}
		up := o.schema(t)
		if _, err := o.Down(t.Context()); err != nil {
			t.Fatalf("down from %d: %v", source.Version, err)
		}
		if diff := cmp.Diff(steps[len(steps)-1], o.schema(t)); diff != "" {
			t.Fatalf("down from %d left a difference:\n%s", source.Version, diff)
		}
		if _, err := o.UpByOne(t.Context()); err != nil {
			t.Fatalf("up to %d again: %v", source.Version, err)
		}
		if diff := cmp.Diff(up, o.schema(t)); diff != "" {
			t.Fatalf("up to %d again made a difference:\n%s", source.Version, diff)
		}
		steps = append(steps, up)
	}
	if newest := steps[len(steps)-1]; len(newest) < 20 {
		t.Fatalf("the newest schema is only %v", newest)
	}
	if _, err := o.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if left := o.schema(t); len(left) != 0 {
		t.Fatalf("all the way down leaves %v", left)
	}
	if err := migrations.Up(t.Context(), o.Provider); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(steps[len(steps)-1], o.schema(t)); diff != "" {
		t.Fatalf("all the way up again made a difference:\n%s", diff)
	}
}

func TestNewerDatabase(t *testing.T) { eachDatabase(t, newerDatabase) }

func newerDatabase(t *testing.T, o opened) {
	if err := migrations.Up(t.Context(), o.Provider); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, $1)", true); err != nil {
		t.Fatal(err)
	}
	before := o.schema(t)
	err := migrations.Up(t.Context(), o.Provider)
	newer, ok := errors.AsType[*migrations.NewerError](err)
	sources := o.ListSources()
	if !ok || newer.Database != 999 || newer.Known != sources[len(sources)-1].Version {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(before, o.schema(t)); diff != "" {
		t.Fatalf("the newer database was changed:\n%s", diff)
	}
}

// TestPortable keeps words out of the schema that only one database knows.
func TestPortable(t *testing.T) {
	o := databases["SQLite"].open(t)
	if err := migrations.Up(t.Context(), o.Provider); err != nil {
		t.Fatal(err)
	}
	only := regexp.MustCompile(`(?i)\b(AUTOINCREMENT|ROWID|BLOB|INTEGER|INT|SERIAL PRIMARY|BIGSERIAL|JSONB|STRICT|DATETIME|REAL)\b`)
	for _, statement := range o.schema(t) {
		if word := only.FindString(statement); word != "" {
			t.Errorf("%s is not portable:\n%s", word, statement)
		}
	}
}
