package auth

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Tokens is a file of bearer tokens: a line each, "<name> <SHA-256 of the
// token, 64 hex digits>"; empty lines and lines that begin with # are skipped. A name may
// have several (to change one over). The file is read again when it changes; while it is
// wrong, nobody is let in.
type Tokens struct {
	file *files.Fresh[[]token]
}

type token struct {
	name string
	hash [sha256.Size]byte
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// OpenTokens reads a token file. It must belong to this user or root, and be closed to everyone else (mode 0600).
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{file: files.NewFresh(path, private(files.NoRights), parseTokens)}
	_, err := t.entries()
	return t, err
}

// Path is the file.
func (t *Tokens) Path() string { return t.file.Path() }

// Name gives whose token this is. An unknown one gives code unauthenticated, a file that cannot be used code unavailable.
func (t *Tokens) Name(secret string) (string, error) {
	entries, err := t.entries()
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256([]byte(secret))
	name := ""
	// Every entry is compared, each in constant time: how long it takes tells nothing.
	for _, e := range entries {
		if subtle.ConstantTimeCompare(hash[:], e.hash[:]) == 1 {
			name = e.name
		}
	}
	if name == "" {
		return "", fleet.Errorf(fleet.CodeUnauthenticated, "unknown token").
			WithHint("get a token from the operator of bothyd, and set it with BOTHY_TOKEN or --token-file")
	}
	return name, nil
}

// entries gives the tokens as the file has them now; while it is wrong there are none.
func (t *Tokens) entries() ([]token, error) {
	entries, err := t.file.Get()
	if err != nil {
		return nil, &fleet.Error{Code: fleet.CodeUnavailable, Sentence: "bothyd cannot read its token file and refuses every token", Hint: "ask the operator of bothyd to check its log", Err: fmt.Errorf("cannot read token file: %w", err)}
	}
	return entries, nil
}

func parseTokens(_ string, data []byte) ([]token, error) {
	var entries []token
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 2 || !tokenName.MatchString(fields[0]) {
			return nil, fmt.Errorf("line %d: want a name and the SHA-256 of its token", n)
		}
		hash, err := hex.DecodeString(fields[1])
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("line %d: want 64 hex digits after %s: the SHA-256 of its token, never the token itself", n, fields[0])
		}
		entries = append(entries, token{name: fields[0], hash: [sha256.Size]byte(hash)})
	}
	return entries, lines.Err()
}
