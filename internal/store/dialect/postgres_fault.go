package dialect

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bothy-env/bothy/internal/fleet"
)

// postgresFault is Fault for PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
func (d *DB) postgresFault(doing string, err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		if connectionLost(err) {
			return fleet.Errorf(fleet.CodeUnavailable, "%s: %w", doing, err).
				WithHint("PostgreSQL at %s does not answer: check whether it runs and is reachable", d.Where)
		}
		return fleet.Errorf(fleet.CodeInternal, "%s: %w", doing, err)
	}
	if hint := d.postgresHint(e.Code); hint != "" {
		return fleet.Errorf(fleet.CodeUnavailable, "%s: %w", doing, err).WithHint("%s", hint)
	}
	switch class := e.Code[:2]; {
	case e.Code == "22021" || e.Code == "22P05": // characters that the database cannot store
		return fleet.Errorf(fleet.CodeInvalid, "%s: a text has characters that cannot be stored: %w", doing, err).
			WithHint("use text in UTF-8, without NUL")
	case class == "23": // constraint violation
		return fleet.Errorf(fleet.CodeConflict, "%s: %w", doing, err)
	}
	return fleet.Errorf(fleet.CodeInternal, "%s: %w", doing, err)
}

// postgresHint returns a hint for a database that is temporarily unusable, "" for anything else.
func (d *DB) postgresHint(code string) string {
	switch code {
	case "53100":
		return "the disk of PostgreSQL at " + d.Where + " is full: free some space there"
	case "53200":
		return "the machine of PostgreSQL at " + d.Where + " is out of memory"
	case "53300", "53400":
		return "PostgreSQL at " + d.Where + " has no free connection: raise max_connections there, or run fewer daemons"
	case "55P03", "57014", "40001", "40P01":
		return "PostgreSQL at " + d.Where + " is overloaded or holds a lock for long: check pg_stat_activity there"
	case "25006":
		return "PostgreSQL at " + d.Where + " is read-only: use the address of the primary server"
	case "3D000":
		return "create the database first: createdb --encoding UTF8 NAME"
	case "42501":
		return "the user must be allowed to create tables in " + d.Where + ": make it the database's owner"
	}
	switch code[:2] {
	case "08", "57":
		return "PostgreSQL at " + d.Where + " was stopped or is starting: bothyd uses it again as soon as it answers"
	case "28":
		return "PostgreSQL at " + d.Where + " refuses the user or the password: correct the address"
	case "25":
		return "the transaction was idle for too long and was ended: try again"
	case "53", "54", "58", "XX":
		return "PostgreSQL at " + d.Where + " has a fault: check its log"
	}
	return ""
}

// lostAgainstAnother reports whether a transaction was ended in favour of another.
func lostAgainstAnother(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// cannotConnect reports whether connecting failed.
func cannotConnect(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// unanswered reports whether a timeout expired: a second try would wait as long.
func unanswered(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// connectionLost reports whether there is no connection, or none any more.
func connectionLost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		// The server announces that it ends a connection: on a stop, a crash, or an idle transaction.
		return strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08") || e.Code == "25P03"
	}
	if _, ok := errors.AsType[net.Error](err); ok || cannotConnect(err) || pgconn.SafeToRetry(err) {
		return true
	}
	for _, gone := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, pgx.ErrTxClosed,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}
