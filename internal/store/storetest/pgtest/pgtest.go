// Package pgtest gives tests a PostgreSQL server of their own, made with the initdb and postgres of
// this machine and gone with the test binary.
//
// One server serves a test binary: Shared starts it when a test first asks for it, and Main, called from
// TestMain, stops it. Each test takes an empty database with Database, as often as it likes.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/bothy-env/bothy/internal/store"
)

// offVariable, set to "off", skips the tests that need PostgreSQL instead of failing them.
const offVariable = "BOTHY_TEST_POSTGRES"

// shared is the server of this test binary.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Main runs the tests, stops the shared server if one was started, and gives the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if err := Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		code = max(code, 1)
	}
	return code
}

// Stop stops the shared server and removes its files. Main does it.
func Stop() error {
	shared.Lock()
	defer shared.Unlock()
	server := shared.server
	shared.server = nil
	if server == nil {
		return nil
	}
	return server.Stop()
}

// Shared gives the one server of this test binary; tests of what happens when it is killed take
// their own from Own. Without PostgreSQL on the machine the test fails; with
// BOTHY_TEST_POSTGRES=off it is skipped.
func Shared(t testing.TB) *Server {
	t.Helper()
	skipWhenOff(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(context.Background(), Options{})
	}
	if shared.err != nil {
		t.Fatalf("PostgreSQL for the tests: %v", shared.err)
	}
	return shared.server
}

// Own starts a server for this test alone, and stops it when the test ends.
func Own(t testing.TB, o Options) *Server {
	t.Helper()
	skipWhenOff(t)
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("PostgreSQL for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return s
}

func skipWhenOff(t testing.TB) {
	t.Helper()
	if os.Getenv(offVariable) == "off" {
		t.Skip(offVariable + " is off: nothing is tried on PostgreSQL")
	}
}

// templateName is the migrated database that others are copies of.
const templateName = "bothy_template"

// Database makes an empty database with the newest schema and gives its address. It is dropped
// when the test ends, whoever still uses it.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	if err := s.template(t.Context()); err != nil {
		t.Fatalf("make the template database: %v", err)
	}
	return s.create(t, " TEMPLATE "+templateName)
}

// Bare is Database without a schema.
func (s *Server) Bare(t testing.TB) string {
	t.Helper()
	return s.create(t, " TEMPLATE template0")
}

func (s *Server) create(t testing.TB, options string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	if err := s.Exec(t.Context(), "CREATE DATABASE "+name+options); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		// A server that the test has killed takes its databases along.
		if err := s.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil && s.Running() {
			t.Errorf("drop the database: %v", err)
		}
	})
	return s.DSN(name)
}

// template makes the template once.
func (s *Server) template(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.templated {
		return nil
	}
	if err := s.Exec(ctx, "CREATE DATABASE "+templateName); err != nil {
		return err
	}
	migrated, err := store.Open(ctx, s.DSN(templateName))
	if err != nil {
		return err
	}
	s.templated = true
	return migrated.Close()
}

// Exec runs a statement as the superuser, in the server's first database.
func (s *Server) Exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", strings.SplitN(statement, "\n", 2)[0], err)
	}
	return nil
}
