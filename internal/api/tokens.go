package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Tokens is a file of bearer tokens: a line each, "<name> <SHA-256 of the
// token, 64 hex digits>"; empty lines and lines that begin with # are skipped. A name may
// have several (to change one over). The file is read again when it changes; while it is
// wrong, nobody is let in.
type Tokens struct {
	path string

	mu      sync.Mutex
	seen    stamp
	loaded  bool
	entries []token
	err     error
}

type token struct {
	name string
	hash [sha256.Size]byte
}

// stamp tells versions of a file apart, also those written within one tick of the clock.
type stamp struct {
	dev, inode, size  int64
	modified, changed syscall.Timespec
	mode, owner       uint32
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// maxTokenFile bounds the file, in bytes.
const maxTokenFile = 1 << 20

// OpenTokens reads a token file. It must belong to this user or root, and be closed to everyone else (mode 0600).
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	return t, t.err
}

// Name gives whose token this is. An unknown one gives code unauthenticated, a file that cannot be used code unavailable.
func (t *Tokens) Name(secret string) (string, error) {
	t.mu.Lock()
	t.refresh()
	entries, err := t.entries, t.err
	t.mu.Unlock()
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
		return "", problem(fleet.CodeUnauthenticated, "ask who runs bothyd for a token; give it with BOTHY_TOKEN or --token-file", "the token is not known here")
	}
	return name, nil
}

// identify takes the token out of a request.
func (t *Tokens) identify(r *http.Request) (string, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return "", problem(fleet.CodeUnauthenticated, "give one with BOTHY_TOKEN or --token-file", "a token is needed")
	}
	name, err := t.Name(secret)
	if fleet.CodeOf(err) == fleet.CodeUnavailable {
		requestOf(r.Context()).log.Error("token file cannot be used", "file", t.path, "error", errors.Unwrap(err))
	}
	return name, err
}

// refresh reads the file if it is another than before.
func (t *Tokens) refresh() {
	info, err := os.Stat(t.path)
	now := stampOf(info)
	if t.loaded && now == t.seen {
		return
	}
	t.seen, t.loaded = now, true
	if err == nil {
		err = checkPrivate(info)
	}
	if err == nil {
		t.entries, err = readTokens(t.path)
	}
	t.err = nil
	if err != nil {
		t.entries = nil
		t.err = &fleet.Error{Code: fleet.CodeUnavailable, Sentence: "the token file cannot be used, so nobody is let in", Hint: "whoever runs bothyd finds the reason in its log", Err: fmt.Errorf("read token file: %w", err)}
	}
}

func stampOf(info os.FileInfo) stamp {
	if info == nil {
		return stamp{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{
		dev: int64(st.Dev), inode: int64(st.Ino), size: st.Size,
		modified: st.Mtim, changed: st.Ctim, mode: st.Mode, owner: st.Uid,
	}
}

// checkPrivate refuses what others could read or have written.
func checkPrivate(info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", info.Name())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, so others may use it: chmod 600 it", info.Name(), mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return fmt.Errorf("%s belongs to user id %d", info.Name(), st.Uid)
	}
	return nil
}

func readTokens(path string) ([]token, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) > maxTokenFile {
		return nil, fmt.Errorf("it has %d bytes, and %d are the most", len(data), maxTokenFile)
	}
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
