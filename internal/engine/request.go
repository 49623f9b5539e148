package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/quota"
)

// DefaultBlueprint is taken when a request names none.
const DefaultBlueprint = "build"

// Request asks for an environment.
type Request struct {
	// Who asks, as the listener authenticated them.
	Who fleet.Identity
	// Project and PullRequest say what it is for; may be empty.
	Project, PullRequest string
	// Blueprint is a name or name@version; DefaultBlueprint when empty.
	Blueprint string
	// Size is one of the blueprint's; its default when empty.
	Size string
	// Name is made up when empty.
	Name string
	// Share is who may use and delete it beside Who; that of Who when empty. Absent, it leaves the hash of a request as it was
	// before there was one: a retry may come after an upgrade.
	Share fleet.Share `json:",omitempty"`
	// TTL is the lease from hand-over on; the blueprint's default when nil.
	TTL *time.Duration
	// Idle ends the lease after a time without use; nil for never.
	Idle *time.Duration
	// QueueTimeout is how long to wait for capacity: nil for as long as it takes, 0 as NoQueue.
	QueueTimeout *time.Duration
	// NoQueue refuses the request when it would have to wait. NoPool makes a fresh one.
	NoQueue, NoPool bool
	Inputs          map[string]any
	// Vars are variables of every command inside; Secrets become files in the secrets folder, by name.
	Vars    map[string]string
	Secrets map[string][]byte
	// IdempotencyKey makes a retry give the same environment; may be empty.
	IdempotencyKey string
}

// wish is a request that was checked: the row that it would be, and what goes beside the row.
type wish struct {
	// env has no id yet, and no name when one is to be made up.
	env     fleet.Environment
	secrets map[string][]byte
	hash    string
	// noPool and noQueue as asked for.
	noPool, noQueue bool
	// refusal is what a limit last said of it; nil when it was admitted.
	refusal *quota.Refusal
	// wouldWait refuses one that would have to wait and may not; nil for all others.
	wouldWait *fleet.Error
}

// hold is the price of its whole lease, kept back of every budget that it counts in.
func (w *wish) hold(now time.Time) int64 {
	return ledger.Hold(w.env.Size.RateMicros, now, now.Add(w.env.Lease.TTL))
}

// wish builds the row of a request, or says what is wrong with it.
func (e *Engine) wish(req Request, rates []fleet.Rate, now time.Time) (*wish, error) {
	bp, size, err := e.sized(req)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(checkRequest(req), besideCertificates(req.Secrets, e.certificates.Files())); err != nil {
		return nil, err
	}
	lease, err := leaseOf(bp, req)
	if err != nil {
		return nil, err
	}
	inputs, err := fleet.CheckInputs(bp, req.Inputs)
	if err != nil {
		return nil, err
	}
	env := blank(bp, priced(size, bp, rates, now), inputs)
	if env.MatchKey, err = fleet.MatchKey(bp.Ref.Digest, size.Name, inputs); err != nil {
		return nil, err
	}
	env.Name, env.Tenant, env.Team, env.Owner = req.Name, req.Who.Tenant, req.Who.Team, req.Who.User
	env.Share = cmp.Or(req.Share, req.Who.Share, fleet.ShareNobody)
	env.Project, env.PullRequest, env.IdempotencyKey = req.Project, req.PullRequest, req.IdempotencyKey
	env.Lease, env.Vars = lease, req.Vars
	env.SecretNames = slices.Sorted(maps.Keys(req.Secrets))
	w := &wish{env: env, secrets: req.Secrets, noPool: req.NoPool, noQueue: req.NoQueue}
	if t := req.QueueTimeout; t != nil {
		w.noQueue = w.noQueue || *t == 0
		w.env.Queue.Until = now.Add(min(*t, longestWait))
	}
	if w.noQueue {
		// It is asked about before; this is for what takes the room in between.
		w.env.Queue.Until = now.Add(noQueueGrace)
	}
	w.hash, err = e.requestHash(req)
	return w, err
}

const (
	// longestWait bounds a queue timeout, so that no sum of times overflows.
	longestWait = 366 * 24 * time.Hour
	// noQueueGrace is how long a request that may not wait is given until a controller has looked at it.
	noQueueGrace = 2 * time.Second
)

// sized finds what a request names.
func (e *Engine) sized(req Request) (fleet.Blueprint, fleet.Size, error) {
	name := req.Blueprint
	if name == "" {
		name = DefaultBlueprint
	}
	bp, err := e.blueprints.Get(name)
	if wrong, ok := errors.AsType[*fleet.Error](err); ok {
		of := *wrong // the catalogue's own knows nothing of a request
		return bp, fleet.Size{}, of.About("blueprint")
	}
	if err != nil {
		return bp, fleet.Size{}, err
	}
	size, ok := bp.SizeNamed(req.Size)
	if !ok {
		return bp, size, fleet.Errorf(fleet.CodeInvalid, "blueprint %s has no size %q", bp.Ref, short(req.Size)).
			WithHint("its sizes: %s", sizeNames(bp)).About("size")
	}
	return bp, size, nil
}

// blank is what every environment of a blueprint begins as.
func blank(bp fleet.Blueprint, size fleet.Size, inputs map[string]any) fleet.Environment {
	return fleet.Environment{
		Blueprint: bp.Ref, Size: size, Image: bp.Image, Users: bp.Users, Workspace: bp.Workspace,
		Inputs: inputs, State: fleet.Pending, Lease: fleet.Lease{TTL: bp.DefaultTTL, MaxTTL: bp.MaxTTL},
	}
}

func checkRequest(req Request) error {
	if req.Name != "" {
		if err := checkName(req.Name); err != nil {
			return err
		}
	}
	for _, word := range []struct{ what, is string }{{"project", req.Project}, {"pull request", req.PullRequest}} {
		if err := checkWord(word.what, word.is); err != nil {
			return err
		}
	}
	if req.Share != "" && !req.Share.Valid() {
		return notShare(req.Share)
	}
	if len(req.IdempotencyKey) > maxWordBytes {
		return fleet.Errorf(fleet.CodeInvalid, "the idempotency key has %d bytes", len(req.IdempotencyKey)).WithHint("give at most %d", maxWordBytes)
	}
	if t := req.QueueTimeout; t != nil && *t < 0 {
		return fleet.Errorf(fleet.CodeInvalid, "the queue timeout %s is less than zero", *t).
			WithHint("0 refuses to wait at all; leave it out to wait for as long as it takes")
	}
	if err := checkVars(req.Vars); err != nil {
		return err
	}
	return checkSecrets(req.Secrets)
}

// maxWordBytes bounds what a request says it is for: that is kept, listed, billed by and put into labels.
const maxWordBytes = 200

// checkWord refuses what is too long to keep, or would not print as it is.
func checkWord(what, word string) error {
	if len(word) > maxWordBytes {
		return fleet.Errorf(fleet.CodeInvalid, "the %s has %d bytes", what, len(word)).WithHint("give at most %d", maxWordBytes)
	}
	if !utf8.ValidString(word) || strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fleet.Errorf(fleet.CodeInvalid, "the %s holds a character that cannot be printed", what).WithHint("use letters, digits, signs and spaces")
	}
	return nil
}

func leaseOf(bp fleet.Blueprint, req Request) (fleet.Lease, error) {
	lease := fleet.Lease{TTL: bp.DefaultTTL, MaxTTL: bp.MaxTTL}
	if ttl := req.TTL; ttl != nil {
		if *ttl <= 0 {
			return lease, fleet.Errorf(fleet.CodeInvalid, "ttl %s is not more than zero", *ttl).
				WithHint("ask for a time such as 30m, at most %s", bp.MaxTTL).About("ttl")
		}
		if *ttl > bp.MaxTTL {
			return lease, fleet.Errorf(fleet.CodePolicy, "ttl %s is above the maximum of blueprint %s, which is %s", *ttl, bp.Ref, bp.MaxTTL).
				WithHint("ask for %s or less", bp.MaxTTL).About("ttl")
		}
		lease.TTL = ttl.Truncate(time.Microsecond)
	}
	if idle := req.Idle; idle != nil {
		if *idle < time.Microsecond || *idle > lease.TTL {
			return lease, fleet.Errorf(fleet.CodeInvalid, "idle timeout %s is not between zero and the ttl, which is %s", *idle, lease.TTL).
				WithHint("ask for a time such as 15m, or for none").About("idle")
		}
		lease.Idle = idle.Truncate(time.Microsecond)
	}
	return lease, nil
}

func sizeNames(bp fleet.Blueprint) string {
	var names string
	for i, s := range bp.Sizes {
		if i > 0 {
			names += ", "
		}
		names += s.Name
	}
	return names
}

// requestHash tells two requests under one idempotency key apart. Go encodes
// maps with sorted keys, so equal requests have equal hashes.
func (e *Engine) requestHash(req Request) (string, error) {
	digests := make(map[string]string, len(req.Secrets))
	for name, value := range req.Secrets {
		digests[name] = e.vault.Digest(value)
	}
	// The key is the user's own whatever team they ask for; roles and teams may change between two tries.
	req.Who = fleet.Identity{User: req.Who.User, Tenant: req.Who.Tenant, Team: req.Who.Team}
	req.Secrets = nil
	text, err := json.Marshal(struct {
		Request
		SecretDigests map[string]string
	}{req, digests})
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
