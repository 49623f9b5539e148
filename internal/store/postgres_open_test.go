package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// TestPostgresOpenedAtOnce: daemons that start together on an empty database make its schema once.
func TestPostgresOpenedAtOnce(t *testing.T) {
	dsn := pgtest.Shared(t).Bare(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestPostgresConnections(t *testing.T) {
	s := openAt(t, pgtest.Shared(t).Database(t))
	const check = "client_connection_check_interval" // from version 14 on
	var known string
	if err := s.ReadDB().QueryRowContext(t.Context(), "SELECT COALESCE(current_setting($1, true), '')", check).Scan(&known); err != nil {
		t.Fatal(err)
	}
	for name, db := range map[string]*sql.DB{"write": s.WriteDB(), "read": s.ReadDB()} {
		wanted := map[string]string{
			"idle_in_transaction_session_timeout": "5s", "lock_timeout": "10s",
			"statement_timeout":     map[string]string{"write": "20s", "read": "12s"}[name],
			"transaction_isolation": "read committed", "synchronous_commit": "on",
		}
		if known != "" {
			wanted[check] = "5s"
		}
		for setting, want := range wanted {
			var got string
			if err := db.QueryRowContext(t.Context(), "SHOW "+setting).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %q, want %q, error %v", name, setting, got, want, err)
			}
		}
		// On a unix socket they count as 0; what they were set to is told all the same.
		for setting, want := range map[string]string{
			"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "20000",
		} {
			var got string
			err := db.QueryRowContext(t.Context(), "SELECT reset_val FROM pg_settings WHERE name = $1", setting).Scan(&got)
			if err != nil || got != want {
				t.Errorf("%s: %s is %q, want %q, error %v", name, setting, got, want, err)
			}
		}
	}
	_, err := s.ReadDB().ExecContext(t.Context(), "DELETE FROM counters")
	if err == nil {
		t.Fatal("the readers' pool can write")
	}
	wantFault(t, s.Fault(t.Context(), "write", err), fleet.CodeUnavailable, "is read-only")
}

func TestPostgresFaults(t *testing.T) {
	s := openAt(t, pgtest.Shared(t).Database(t))
	for code, want := range map[string]struct {
		code fleet.Code
		hint string
	}{
		"53100": {fleet.CodeUnavailable, "disk"}, "53300": {fleet.CodeUnavailable, "max_connections"},
		"57P01": {fleet.CodeUnavailable, "was stopped"}, "57P03": {fleet.CodeUnavailable, "starting"},
		"55P03": {fleet.CodeUnavailable, "pg_stat_activity"}, "57014": {fleet.CodeUnavailable, "overloaded"},
		"XX001": {fleet.CodeUnavailable, "its log"}, "23505": {fleet.CodeConflict, ""}, "42601": {fleet.CodeInternal, ""},
	} {
		wantFault(t, s.Fault(t.Context(), "write", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})), want.code, want.hint)
	}
	err := s.SetSetting(t.Context(), "a", "NUL \x00")
	wantFault(t, err, fleet.CodeInvalid, "UTF-8")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.SetSetting(ended, "a", "b"); !errors.Is(err, context.Canceled) || fleet.CodeOf(err) == fleet.CodeUnavailable {
		t.Fatalf("with an ended context: %v", err)
	}
}

func TestPostgresOpenUnusable(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	expect := func(t *testing.T, dsn string, code fleet.Code, hint string) {
		t.Helper()
		err := openFails(t, dsn)
		wantFault(t, err, code, hint)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	// made runs a statement, and undo when the test ends.
	made := func(t *testing.T, statement, undo string) {
		t.Helper()
		if err := server.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Exec(context.Background(), undo); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("bad address", func(t *testing.T) {
		expect(t, "postgres://bothy:secret@db:port/bothy", fleet.CodeInvalid, "postgres://user:password@host:5432/database")
	})
	t.Run("nothing there", func(t *testing.T) {
		expect(t, "postgres://bothy:secret@127.0.0.1:1/bothy", fleet.CodeUnavailable, "127.0.0.1/bothy does not answer")
	})
	t.Run("wrong password", func(t *testing.T) {
		expect(t, strings.Replace(dsn, "not%20a%20secret", "another%20secret", 1), fleet.CodeUnavailable, "correct the address")
	})
	t.Run("no such database", func(t *testing.T) {
		expect(t, server.DSN("nobody"), fleet.CodeUnavailable, "createdb")
	})
	t.Run("an encoding that does not keep all text", func(t *testing.T) {
		made(t, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0", "DROP DATABASE latin WITH (FORCE)")
		expect(t, server.DSN("latin"), fleet.CodeUnavailable, "--encoding UTF8")
	})
	t.Run("may not make tables", func(t *testing.T) {
		made(t, "CREATE ROLE guest LOGIN PASSWORD 'a secret'", "DROP ROLE guest")
		bare := strings.Replace(server.Bare(t), "bothy:not%20a%20secret@", "guest:a%20secret@", 1)
		expect(t, bare, fleet.CodeUnavailable, "make it the database's owner")
	})
	t.Run("newer", func(t *testing.T) {
		query[string](t, dsn, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true) RETURNING ''")
		expect(t, dsn, fleet.CodeUnavailable, "run the newer bothyd")
	})
}
