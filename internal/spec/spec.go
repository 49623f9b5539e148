// Package spec parses bothy.yaml: the blueprint, size, lease duration, inputs and
// source of a repository's environment. Parsing is strict and reports every error
// at once, each with its place.
package spec

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/strictyaml"
)

// FileName is the name of a spec in a repository.
const FileName = "bothy.yaml"

// Version is the only version of the format.
const Version = 1

// NoSource as Source means that bothy copies nothing.
const NoSource = "none"

// Error is one error in a spec, with its place.
type Error = strictyaml.Error

// Errors are all errors in a spec, in the order of the file.
type Errors = strictyaml.Errors

// Spec is a parsed bothy.yaml. Empty fields are not in the file.
type Spec struct {
	// File is the path of the file.
	File string
	// Name of the environment; the daemon generates one if empty.
	Name string
	// Blueprint is a name or name@version.
	Blueprint string
	// Size is one of the blueprint's sizes.
	Size string
	// Share is who besides the owner may use and delete it: nobody, team or tenant; empty for the organisation's default.
	Share string
	// TTL is the lease duration; 0 for the blueprint's default.
	TTL time.Duration
	// Idle is the time without use after which the lease expires; 0 for never.
	Idle time.Duration
	// Env are variables for every command in the environment, not for secrets.
	Env map[string]string
	// Params are the blueprint's inputs: string, int64, float64 or bool. The
	// blueprint defines the type of each, and the daemon checks it.
	Params map[string]any
	// Source is the directory to copy, relative to the file's, with slashes, or NoSource. Default: ".".
	Source string

	// places maps key paths to places: "size", "params.shm_mib".
	places map[string]Place
}

// Place is the place of a value.
type Place struct {
	File string
	// Line and Col count from 1; Col counts characters.
	Line, Col int
}

// Place returns the place of a value by its key path, as in errors: "size", "params.shm_mib"; false if it is not in the file. The
// caller adds the place to an error from the daemon about the value.
func (s Spec) Place(path string) (Place, bool) {
	at, ok := s.places[path]
	return at, ok
}

// Allowed values of the fields. schema.json has the same; a test compares them.
const (
	namePattern      = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	idPattern        = `^[a-z2-7]{16}$`
	sizePattern      = `^[a-z0-9][a-z0-9-]{0,62}$`
	blueprintPattern = `^[a-z0-9][a-z0-9-]{0,62}(@[0-9A-Za-z][0-9A-Za-z.+-]{0,63})?$`
	paramPattern     = `^[a-z][a-z0-9_]{0,62}$`
	varPattern       = `^[A-Za-z_][A-Za-z0-9_]{0,127}$`
	sharePattern     = `^(nobody|team|tenant)$`
	ttlPattern       = `^([0-9]{1,9}(\.[0-9]{1,9})?[dhms])+$`
	maxParams        = 100
	maxParamLength   = 4096
	maxVars          = 64
	maxSourceLength  = 1024
)

var (
	nameRE      = regexp.MustCompile(namePattern)
	idRE        = regexp.MustCompile(idPattern)
	sizeRE      = regexp.MustCompile(sizePattern)
	blueprintRE = regexp.MustCompile(blueprintPattern)
	paramRE     = regexp.MustCompile(paramPattern)
	shareRE     = regexp.MustCompile(sharePattern)
	varRE       = regexp.MustCompile(varPattern)
)

const (
	wantName      = `a name of up to 63 of a-z, 0-9 and "-", starting and ending with a letter or digit`
	wantNoID      = "a name that does not look like an environment id: add a dash, or use another length than 16"
	wantBlueprint = `a blueprint's name, or name@version`
	wantShare     = "nobody, team or tenant"
	wantSource    = `a directory relative to this file and not above it, or "none"`
)

// Parse parses a spec; file is its name in errors. The error has type Errors.
func Parse(file string, data []byte) (Spec, error) {
	doc, err := strictyaml.Parse(file, data)
	if err != nil {
		return Spec{}, err
	}
	s := Spec{File: file, Source: "."}
	s.read(doc.Root)
	if err := doc.Err(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

func (s *Spec) read(root *strictyaml.Node) {
	if root.Kind == strictyaml.Null {
		root.Fail("an empty file", fmt.Sprintf(`at least "version: %d"`, Version))
		return
	}
	fields := root.Object("version", "name", "blueprint", "size", "share", "ttl", "idle", "env", "params", "source")
	root.Missing(fields, "version")
	s.places = make(map[string]Place, len(fields))
	for key, n := range fields {
		s.note(n)
		switch key {
		case "version":
			want := fmt.Sprintf("%d, the only version", Version)
			if v, ok := n.Int(want); ok && v != Version {
				n.Want("%s", want)
			}
		case "name":
			if s.Name = match(n, nameRE, wantName); idRE.MatchString(s.Name) {
				n.Want("%s", wantNoID)
			}
		case "blueprint":
			s.Blueprint = match(n, blueprintRE, wantBlueprint)
		case "size":
			s.Size = match(n, sizeRE, "the name of one of the blueprint's sizes")
		case "share":
			s.Share = match(n, shareRE, wantShare)
		case "ttl":
			s.TTL = readTTL(n)
		case "idle":
			s.Idle = readTTL(n)
		case "env":
			s.readEnv(n)
		case "params":
			s.readParams(n)
		case "source":
			s.readSource(n)
		}
	}
}

// note records the place of a value.
func (s *Spec) note(n *strictyaml.Node) {
	s.places[n.Path] = Place{File: s.File, Line: n.Line, Col: n.Col}
}

func match(n *strictyaml.Node, re *regexp.Regexp, want string) string {
	v, ok := n.Str(want)
	if ok && !re.MatchString(v) {
		n.Want("%s", want)
	}
	return v
}

func readTTL(n *strictyaml.Node) time.Duration {
	text, ok := n.Str(wantTTL)
	if !ok {
		return 0
	}
	ttl, err := ParseTTL(text)
	if err != nil {
		n.Want("%s", wantTTL)
	}
	return ttl
}

func (s *Spec) readEnv(n *strictyaml.Node) {
	fields := n.Fields()
	if len(fields) > maxVars {
		n.Fail(fmt.Sprintf("%d variables", len(fields)), fmt.Sprintf("at most %d", maxVars))
		return
	}
	s.Env = make(map[string]string, len(fields))
	for _, f := range fields {
		if !varRE.MatchString(f.Key) {
			n.FailKey(f, "this key", `a variable name of letters, digits and "_", not starting with a digit`)
		}
		v, ok := f.Value.Str("text (quote it if it looks like a number, true or false)")
		if ok && !fitsParam(v) {
			f.Value.Want("at most %d characters without zero bytes", maxParamLength)
		}
		s.Env[f.Key] = v
	}
}

func (s *Spec) readParams(n *strictyaml.Node) {
	fields := n.Fields()
	if len(fields) > maxParams {
		n.Fail(fmt.Sprintf("%d inputs", len(fields)), fmt.Sprintf("at most %d", maxParams))
		return
	}
	s.Params = make(map[string]any, len(fields))
	for _, f := range fields {
		if !paramRE.MatchString(f.Key) {
			n.FailKey(f, "this key", `an input name of a-z, 0-9 and "_", starting with a letter`)
		}
		v, ok := f.Value.Scalar("text, a number, true or false")
		if text, isText := v.(string); isText && !fitsParam(text) {
			f.Value.Want("at most %d characters without zero bytes", maxParamLength)
		}
		if ok {
			s.Params[f.Key] = v
			s.note(f.Value)
		}
	}
}

func fitsParam(text string) bool {
	return len([]rune(text)) <= maxParamLength && !strings.ContainsRune(text, 0)
}

func (s *Spec) readSource(n *strictyaml.Node) {
	text, ok := n.Str(wantSource)
	if !ok {
		return
	}
	if !inside(text) {
		n.Want("%s", wantSource)
		return
	}
	s.Source = path.Clean(text)
	if s.Source == NoSource && text != NoSource {
		s.Source = "./" + NoSource // a directory of that name
	}
}

// inside reports whether text names a directory at or below the file's directory. It checks only the text; SourceDir resolves links.
func inside(text string) bool {
	if text == "" || len([]rune(text)) > maxSourceLength || strings.ContainsAny(text, "\\\x00\n") || strings.HasPrefix(text, "/") || strings.HasPrefix(text, "~") {
		return false
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == ".." {
			return false
		}
	}
	return true
}
