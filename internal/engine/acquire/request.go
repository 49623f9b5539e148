package acquire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Request asks for an environment.
type Request struct {
	// Who asks, as the edge authenticated them.
	Who fleet.Identity
	// Project and PullRequest are the purpose; may be empty.
	Project, PullRequest string
	// Blueprint is a name or name@version; DefaultBlueprint if empty.
	Blueprint string
	// Size is one of the blueprint's; its default if empty.
	Size string
	// Name is generated if empty.
	Name string
	// Share is who may use and delete it beside Who; that of Who if empty. An empty one does not change the hash of the request:
	// a retry may come after an upgrade of a daemon that did not know the field.
	Share fleet.Share `json:",omitempty"`
	// TTL is the lease from the hand-over; the blueprint's default if nil.
	TTL *time.Duration
	// Idle ends the lease after this time without use; nil for never.
	Idle *time.Duration
	// QueueTimeout is how long to wait for capacity: nil for no limit, 0 is NoQueue.
	QueueTimeout *time.Duration
	// NoQueue refuses the request if it would have to wait. NoPool never claims a warm environment.
	NoQueue, NoPool bool
	Inputs          map[string]any
	// Vars are variables of every command inside. Secrets become files in provisioner.SecretsDir, by name.
	Vars    map[string]string
	Secrets map[string][]byte
	// IdempotencyKey makes a retry return the same environment; may be empty.
	IdempotencyKey string
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
		return NotShare(req.Share)
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

// NotShare refuses a share that does not exist.
func NotShare(s fleet.Share) error {
	return fleet.Errorf(fleet.CodeInvalid, "%q is nothing to share an environment with", fleet.Short(string(s))).WithHint("share it with: nobody, team or tenant")
}

// maxWordBytes limits project and pull request: they are stored, listed, billed by and put into labels.
const maxWordBytes = 200

// checkWord refuses a word that is too long to store, or not printable.
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

// requestHash distinguishes two requests with one idempotency key. Go encodes
// maps with sorted keys, so equal requests have equal hashes.
func (r *Requests) requestHash(req Request) (string, error) {
	digests := make(map[string]string, len(req.Secrets))
	for name, value := range req.Secrets {
		digests[name] = r.cfg.Vault.Digest(value)
	}
	// A key belongs to its user, whichever team the request is for; roles and teams may change between two tries.
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
