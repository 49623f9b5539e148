// Package record binds the columns of the tables environments, entries and events to the fields of the domain's types, and has the
// statements that number records. It reads and writes nothing itself.
package record

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// columns binds each column of environments to a field of Environment, for reading and writing.
var columns = []struct {
	name string
	at   func(*fleet.Environment) any
}{
	{"id", func(e *fleet.Environment) any { return &e.ID }},
	{"name", func(e *fleet.Environment) any { return &e.Name }},
	{"tenant", func(e *fleet.Environment) any { return &e.Tenant }},
	{"team", func(e *fleet.Environment) any { return &e.Team }},
	{"owner", func(e *fleet.Environment) any { return &e.Owner }},
	{"share", func(e *fleet.Environment) any { return (*string)(&e.Share) }},
	{"project", func(e *fleet.Environment) any { return &e.Project }},
	{"pull_request", func(e *fleet.Environment) any { return &e.PullRequest }},
	{"idempotency_key", func(e *fleet.Environment) any { return &e.IdempotencyKey }},
	{"blueprint", func(e *fleet.Environment) any { return &e.Blueprint.Name }},
	{"blueprint_version", func(e *fleet.Environment) any { return &e.Blueprint.Version }},
	{"blueprint_digest", func(e *fleet.Environment) any { return &e.Blueprint.Digest }},
	{"size", func(e *fleet.Environment) any { return &e.Size.Name }},
	{"cpus", func(e *fleet.Environment) any { return &e.Size.CPUs }},
	{"memory_mib", func(e *fleet.Environment) any { return &e.Size.MemoryMiB }},
	{"pids", func(e *fleet.Environment) any { return &e.Size.Pids }},
	{"rate_micros", func(e *fleet.Environment) any { return &e.Size.RateMicros }},
	{"currency", func(e *fleet.Environment) any { return &e.Size.Currency }},
	{"image", func(e *fleet.Environment) any { return &e.Image }},
	{"users", func(e *fleet.Environment) any { return sqlkit.JSON(&e.Users) }},
	{"workspace", func(e *fleet.Environment) any { return &e.Workspace }},
	{"inputs", func(e *fleet.Environment) any { return sqlkit.Inputs(&e.Inputs) }},
	{"pool", func(e *fleet.Environment) any { return &e.Pool }},
	{"match_key", func(e *fleet.Environment) any { return &e.MatchKey }},
	{"host", func(e *fleet.Environment) any { return &e.Host }},
	{"vars", func(e *fleet.Environment) any { return sqlkit.JSON(&e.Vars) }},
	{"secret_names", func(e *fleet.Environment) any { return sqlkit.JSON(&e.SecretNames) }},
	{"paused", func(e *fleet.Environment) any { return sqlkit.Bool(&e.Paused) }},
	{"cold", func(e *fleet.Environment) any { return sqlkit.Text(&e.Cold) }},
	{"queue_rank", func(e *fleet.Environment) any { return sqlkit.Int(&e.Queue.Rank) }},
	{"queue_estimate", func(e *fleet.Environment) any { return sqlkit.Time(&e.Queue.Estimate) }},
	{"queue_first", func(e *fleet.Environment) any { return sqlkit.Time(&e.Queue.First) }},
	{"queue_until", func(e *fleet.Environment) any { return sqlkit.Time(&e.Queue.Until) }},
	{"state", func(e *fleet.Environment) any { return (*string)(&e.State) }},
	{"reason", func(e *fleet.Environment) any { return sqlkit.Text(&e.Reason) }},
	{"failure", func(e *fleet.Environment) any { return failureField{&e.Failure} }},
	{"revision", func(e *fleet.Environment) any { return &e.Revision }},
	{"lease_ttl", func(e *fleet.Environment) any { return (*int64)(&e.Lease.TTL) }},
	{"lease_max_ttl", func(e *fleet.Environment) any { return (*int64)(&e.Lease.MaxTTL) }},
	{"lease_start", func(e *fleet.Environment) any { return sqlkit.Time(&e.Lease.Start) }},
	{"lease_end", func(e *fleet.Environment) any { return sqlkit.Time(&e.Lease.End) }},
	{"lease_idle", func(e *fleet.Environment) any { return (*int64)(&e.Lease.Idle) }},
	{"lease_active", func(e *fleet.Environment) any { return sqlkit.Time(&e.Lease.ActiveAt) }},
	{"lease_warned", func(e *fleet.Environment) any { return sqlkit.Bool(&e.Lease.Warned) }},
	{"work_action", func(e *fleet.Environment) any { return (*string)(&e.Work.Action) }},
	{"work_worker", func(e *fleet.Environment) any { return &e.Work.Worker }},
	{"work_until", func(e *fleet.Environment) any { return sqlkit.Time(&e.Work.Until) }},
	{"work_generation", func(e *fleet.Environment) any { return &e.Work.Generation }},
	{"work_attempts", func(e *fleet.Environment) any { return sqlkit.Int(&e.Work.Attempts) }},
	{"work_not_before", func(e *fleet.Environment) any { return sqlkit.Time(&e.Work.NotBefore) }},
	{"work_deadline", func(e *fleet.Environment) any { return sqlkit.Time(&e.Work.Deadline) }},
	{"work_last_error", func(e *fleet.Environment) any { return sqlkit.Text(&e.Work.LastError) }},
	{"network", func(e *fleet.Environment) any { return &e.Network }},
	{"sandbox_id", func(e *fleet.Environment) any { return &e.SandboxID }},
	{"sandbox_started_at", func(e *fleet.Environment) any { return sqlkit.Time(&e.StartedAt) }},
	{"created_at", func(e *fleet.Environment) any { return sqlkit.Time(&e.CreatedAt) }},
	{"updated_at", func(e *fleet.Environment) any { return sqlkit.Time(&e.UpdatedAt) }},
	{"ready_at", func(e *fleet.Environment) any { return sqlkit.Time(&e.ReadyAt) }},
	{"destroyed_at", func(e *fleet.Environment) any { return sqlkit.Time(&e.DestroyedAt) }},
	{"billed_from", func(e *fleet.Environment) any { return sqlkit.Time(&e.BilledFrom) }},
	{"billed_until", func(e *fleet.Environment) any { return sqlkit.Time(&e.BilledUntil) }},
	{"billed_before", func(e *fleet.Environment) any { return (*int64)(&e.BilledBefore) }},
	{"booked_until", func(e *fleet.Environment) any { return sqlkit.Time(&e.BookedUntil) }},
	{"held_micros", func(e *fleet.Environment) any { return &e.HeldMicros }},
	{"held_for", func(e *fleet.Environment) any { return (*int64)(&e.HeldFor) }},
	{"held_at", func(e *fleet.Environment) any { return sqlkit.Time(&e.HeldAt) }},
	{"doubted", func(e *fleet.Environment) any { return sqlkit.Bool(&e.Doubted) }},
}

var (
	// Columns are the columns of environments, in the order of their fields.
	Columns = strings.Join(columnNames(), ", ")
	// SelectEnvs begins every statement that reads environments.
	SelectEnvs = "SELECT " + Columns + " FROM environments "
	// InsertEnv takes the columns' values, then the request's hash.
	InsertEnv = "INSERT INTO environments (" + Columns + ", request_hash) VALUES (" + sqlkit.Placeholders(1, len(columns)+1) + ")"
	// UpdateEnv takes the columns' values; the first is the id.
	UpdateEnv = "UPDATE environments SET (" + strings.Join(columnNames()[1:], ", ") + ") = (" +
		sqlkit.Placeholders(2, len(columns)-1) + ") WHERE id = $1"
)

// UpdateEnvs is UpdateEnv for the rows of a source.
func UpdateEnvs(source string) string {
	sources := make([]string, len(columns)-1)
	for i := range sources {
		sources[i] = "v.column" + strconv.Itoa(i+2)
	}
	return "UPDATE environments SET (" + strings.Join(columnNames()[1:], ", ") + ") = (" + strings.Join(sources, ", ") + ")" +
		" FROM (" + source + ") AS v WHERE environments.id = v.column1"
}

func columnNames() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// ScanEnv reads one environment.
func ScanEnv(row sqlkit.Scanner) (fleet.Environment, error) { return EnvScanner()(row) }

// EnvScanner returns a function that scans one environment after another into the same fields, which saves most of the cost of a row.
func EnvScanner() func(sqlkit.Scanner) (fleet.Environment, error) {
	var env fleet.Environment
	dest := make([]any, len(columns))
	for i, c := range columns {
		dest[i] = c.at(&env)
	}
	return func(row sqlkit.Scanner) (fleet.Environment, error) {
		if err := row.Scan(dest...); err != nil {
			return fleet.Environment{}, err
		}
		return env, nil
	}
}

// ValuesOf returns an environment's columns as stored.
func ValuesOf(env *fleet.Environment) ([]any, error) {
	values := make([]any, len(columns))
	for i, c := range columns {
		v, err := sqlkit.ValueOf(c.at(env))
		if err != nil {
			return nil, fleet.Errorf(fleet.CodeInternal, "encode %s of environment %q: %w", c.name, env.ID, err)
		}
		values[i] = v
	}
	return values, nil
}

// Kept returns the environment as it will be read back: its times in microseconds, in UTC.
func Kept(values []any) (fleet.Environment, error) {
	return ScanEnv(keptRow(values))
}

// keptRow scans values like a row of a database.
type keptRow []any

// Scan copies the values.
func (r keptRow) Scan(dest ...any) error {
	for i, d := range dest {
		switch d := d.(type) {
		case *string:
			*d = r[i].(string)
		case *int64:
			*d = r[i].(int64)
		case *float64:
			*d = r[i].(float64)
		case interface{ Scan(any) error }:
			if err := d.Scan(r[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Same reports whether two rows are equal as stored.
func Same(a, b []any) bool { return slices.Equal(a, b) }

// NotFound is the error for an environment that does not exist.
func NotFound(nameOrID string) error {
	return fleet.Errorf(fleet.CodeNotFound, "there is no environment %q", nameOrID)
}
