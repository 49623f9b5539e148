package storetest

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func hintOf(err error) string {
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		return e.Hint
	}
	return ""
}

func roundTrip(t *testing.T, open Open) {
	t.Run("any environment", func(t *testing.T) { anyEnvironment(t, open(t)) })
	t.Run("times", func(t *testing.T) {
		s := open(t)
		env := environment(1)
		zone := time.FixedZone("east", 9*3600)
		env.CreatedAt = time.Date(2026, 3, 1, 21, 0, 0, 123456789, zone)
		got := mustAdmit(t, s, env).CreatedAt
		want := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
		if !got.Equal(want) || got.Location() != time.UTC {
			t.Fatalf("got %v, want %v", got, want)
		}
		if read := mustGet(t, s, env.ID); read.CreatedAt != got || !read.ReadyAt.IsZero() {
			t.Fatalf("read %v and %v, want %v and the zero time", read.CreatedAt, read.ReadyAt, got)
		}
	})
	t.Run("text that a database may refuse", func(t *testing.T) {
		s := open(t)
		env := environment(1)
		env.Reason = "a\x00b\xffc"
		env.Failure = &fleet.Failure{Code: fleet.CodeProvision, Sentence: "a\x00b\xffc"}
		got := mustAdmit(t, s, env)
		same(t, mustGet(t, s, env.ID), got)
		if want := "a\uFFFDb\uFFFDc"; got.Reason != want || got.Failure.Sentence != want {
			t.Fatalf("got %q and %q, want %q", got.Reason, got.Failure.Sentence, want)
		}
	})
}

// anyEnvironment writes random rows by Admit and Change, and reads them back.
func anyEnvironment(t *testing.T, s *store.Store) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		admitted, later := environment(n), environment(n)
		drawInto(rt, &admitted)
		if admitted.HeldAt = (time.Time{}); admitted.Tenant != "" {
			admitted.HeldAt = admitted.CreatedAt
		}
		got := mustAdmit(rt, s, admitted)
		admitted.Revision = 1
		same(rt, got, admitted)
		same(rt, mustGet(rt, s, admitted.ID), admitted)

		drawInto(rt, &later)
		later.State = fleet.Provisioning
		later.Tenant, later.Team, later.Owner = admitted.Tenant, admitted.Team, admitted.Owner
		later.CreatedAt, later.HeldAt = admitted.CreatedAt, admitted.HeldAt
		got = mustChange(rt, s, later.ID, func(e *fleet.Environment) { *e = later })
		later.Revision = 2
		same(rt, got, later)
		same(rt, mustGet(rt, s, later.ID), later)
	})
}

// drawInto fills every field that is free to vary.
func drawInto(t *rapid.T, e *fleet.Environment) {
	word := rapid.StringOf(rapid.RuneFrom([]rune("aZ9-_./ \"'\\;$é€𝄞\n"))) // quoting is where it would go wrong
	number := rapid.Int64Min(0)
	amount := rapid.Int64Range(0, 1<<40) // is added up
	micros := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(1, 4_000_000_000_000_000).Draw(t, "µs")).UTC()
	})
	input := rapid.OneOf(
		word.AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(),
		rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).AsAny(),
		rapid.Map(rapid.Int32(), func(n int32) any { return float64(n) }), // a float without a fraction stays one
	)
	for _, at := range []*string{
		&e.Tenant, &e.Team, &e.Owner, (*string)(&e.Share), &e.Project, &e.PullRequest, &e.Pool, &e.MatchKey, &e.Host, &e.Cold, &e.Blueprint.Name, &e.Blueprint.Version, &e.Blueprint.Digest, &e.Size.Name,
		&e.Size.Currency, &e.Image, &e.Workspace, &e.Reason, &e.Work.Worker, &e.Work.LastError, &e.Network, &e.SandboxID,
	} {
		*at = word.Draw(t, "text")
	}
	e.Size.MemoryMiB = amount.Draw(t, "MiB")
	e.HeldMicros, e.HeldFor = amount.Draw(t, "held"), time.Duration(amount.Draw(t, "held for"))
	e.BilledBefore = time.Duration(amount.Draw(t, "billed before"))
	for _, at := range []*int64{&e.Size.Pids, &e.Size.RateMicros} {
		*at = number.Draw(t, "number")
	}
	for _, at := range []*time.Time{
		&e.Lease.Start, &e.Lease.End, &e.Lease.ActiveAt, &e.Queue.Estimate, &e.Queue.First, &e.Queue.Until, &e.BookedUntil, &e.Work.Until, &e.Work.NotBefore, &e.Work.Deadline, &e.CreatedAt, &e.UpdatedAt,
		&e.ReadyAt, &e.DestroyedAt, &e.BilledFrom, &e.BilledUntil,
	} {
		*at = micros.Draw(t, "time")
	}
	e.Size.CPUs = rapid.Float64Range(0, 1e6).Draw(t, "cpus")
	e.Users = rapid.SliceOf(word).Draw(t, "users")
	e.SecretNames = rapid.SliceOf(word).Draw(t, "secrets")
	e.Vars = rapid.MapOf(word, word).Draw(t, "vars")
	e.Paused, e.Lease.Warned = rapid.Bool().Draw(t, "paused"), rapid.Bool().Draw(t, "warned")
	e.Queue.Rank = rapid.IntRange(0, 1000).Draw(t, "rank")
	e.Lease.Idle = time.Duration(number.Draw(t, "idle"))
	e.Inputs = rapid.MapOf(word, input).Draw(t, "inputs")
	e.Lease.TTL = time.Duration(number.Draw(t, "ttl"))
	e.Lease.MaxTTL = time.Duration(number.Draw(t, "max ttl"))
	e.Work.Action = rapid.SampledFrom([]fleet.ActionKind{fleet.None, fleet.Create, fleet.Destroy}).Draw(t, "action")
	e.Work.Attempts = rapid.IntRange(0, 1000).Draw(t, "attempts")
	e.Failure = nil
	if rapid.Bool().Draw(t, "failed") {
		e.Failure = &fleet.Failure{
			Code: fleet.CodeProvision, Sentence: word.Draw(t, "sentence"), Hint: word.Draw(t, "hint"), At: micros.Draw(t, "at"),
		}
	}
}
