// Package migrations has the store's schema as numbered SQL files, each with its reverse.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/pressly/goose/v3"
)

//go:embed *.sql
var files embed.FS

// SQLite returns the migrations for a SQLite database. Closing the provider would close db: leave that to db's owner.
func SQLite(db *sql.DB) (*goose.Provider, error) { return provider(goose.DialectSQLite3, db) }

// PostgreSQL returns the migrations for a PostgreSQL database, including those that only it has. They take no lock of their own.
func PostgreSQL(db *sql.DB) (*goose.Provider, error) { return provider(goose.DialectPostgres, db) }

func provider(dialect goose.Dialect, db *sql.DB) (*goose.Provider, error) {
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(wakes(dialect)))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

var createTable = regexp.MustCompile(`(?m)^CREATE TABLE (?:IF NOT EXISTS )?(\w+)`)

// Tables returns the names of the tables that the migrations create, including those that a later one drops.
func Tables() ([]string, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var tables []string
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		for _, found := range createTable.FindAllSubmatch(text, -1) {
			tables = append(tables, string(found[1]))
		}
	}
	slices.Sort(tables)
	return slices.Compact(tables), nil
}

// NewerError means that the database was written by a newer bothy.
type NewerError struct {
	// Database is the schema version found, Known the newest that this program knows.
	Database, Known int64
}

// Error returns both versions.
func (e *NewerError) Error() string {
	return fmt.Sprintf("database has schema version %d, this bothyd knows versions up to %d", e.Database, e.Known)
}

// Up migrates the database to the newest schema. If the database is newer, it returns a NewerError and changes nothing.
func Up(ctx context.Context, p *goose.Provider) error {
	at, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if at > known {
		return &NewerError{Database: at, Known: known}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}
