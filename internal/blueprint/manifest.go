package blueprint

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/spec"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

var (
	nameRE     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	versionRE  = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-[0-9A-Za-z.-]{1,40})?$`)
	imageRE    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}$`)
	userRE     = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	currencyRE = regexp.MustCompile(`^[A-Z]{3}$`)
	inputRE    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
)

const wantName = `a name of up to 63 of a-z, 0-9 and "-", beginning with a letter or digit`

// manifest reads blueprint.yaml into bp. The document collects its problems.
type manifest struct {
	bp       fleet.Blueprint
	currency string
}

// parseManifest returns the valid part of a blueprint.yaml, and all its problems.
func parseManifest(data []byte) (fleet.Blueprint, Errors) {
	doc, err := strictyaml.Parse(ManifestName, data)
	if err == nil {
		m := manifest{}
		m.read(doc.Root)
		if err = doc.Err(); err == nil {
			return m.bp, nil
		}
	}
	// Both functions return this type, by their contract.
	errs, _ := errors.AsType[Errors](err)
	return fleet.Blueprint{}, errs
}

var keys = []string{"schema", "name", "version", "description", "image", "users", "workspace", "ttl", "currency", "sizes", "default_size", "inputs"}

func (m *manifest) read(root *strictyaml.Node) {
	if root.Kind == strictyaml.Null {
		root.Fail("an empty file", "a blueprint")
		return
	}
	f := root.Object(keys...)
	root.Missing(f, keys[:len(keys)-1]...)
	has := func(key string, read func(n *strictyaml.Node)) {
		if f[key] != nil {
			read(f[key])
		}
	}
	bp := &m.bp
	has("schema", func(n *strictyaml.Node) {
		if v, ok := n.Int("1"); ok && v != 1 {
			n.Want("1, the only schema there is")
		}
	})
	has("name", func(n *strictyaml.Node) { bp.Ref.Name = text(n, nameRE, wantName) })
	has("version", func(n *strictyaml.Node) {
		bp.Ref.Version = text(n, versionRE, "a version of three numbers, such as 1.2.0")
	})
	has("description", func(n *strictyaml.Node) {
		const want = "one line of 1 to 200 bytes"
		if v, ok := n.Str(want); ok && (v == "" || len(v) > 200 || strings.Contains(v, "\n")) {
			n.Want("%s", want)
		} else {
			bp.Description = v
		}
	})
	has("image", func(n *strictyaml.Node) { bp.Image = text(n, imageRE, "an image's reference, such as bothy/build") })
	has("users", m.users)
	has("workspace", func(n *strictyaml.Node) {
		const want = "an absolute directory other than /, such as /workspace"
		if v, ok := n.Str(want); ok && (!path.IsAbs(v) || path.Clean(v) != v || v == "/" || strings.ContainsAny(v, "\x00\n:,")) {
			n.Want("%s", want)
		} else {
			bp.Workspace = v
		}
	})
	has("ttl", m.ttl)
	has("currency", func(n *strictyaml.Node) {
		m.currency = text(n, currencyRE, "a currency's code of three capital letters, such as USD")
	})
	has("sizes", m.sizes)
	has("default_size", m.defaultSize)
	has("inputs", m.inputs)
}

// text returns a text, and reports one that does not match the pattern.
func text(n *strictyaml.Node, re *regexp.Regexp, want string) string {
	v, _ := n.Match(re, want)
	return v
}

func (m *manifest) users(n *strictyaml.Node) {
	items := n.Items()
	if n.Kind == strictyaml.List && len(items) == 0 {
		n.Fail("an empty list", "at least one user of the image; the first is the default")
	}
	for _, item := range items {
		name := text(item, userRE, "the name of a user in the image")
		if slices.Contains(m.bp.Users, name) {
			item.Want("each user once")
		}
		m.bp.Users = append(m.bp.Users, name)
	}
}

func (m *manifest) ttl(n *strictyaml.Node) {
	f := n.Object("default", "max")
	n.Missing(f, "default", "max")
	read := func(key string) (d time.Duration) {
		const want = "a time of 1s to 366d, such as 30m or 8h"
		if f[key] == nil {
			return 0
		}
		if v, ok := f[key].Str(want); ok {
			var err error
			if d, err = spec.ParseTTL(v); err != nil || d < time.Second {
				f[key].Want("%s", want)
			}
		}
		return d
	}
	m.bp.DefaultTTL, m.bp.MaxTTL = read("default"), read("max")
	if m.bp.DefaultTTL > m.bp.MaxTTL && m.bp.MaxTTL > 0 {
		f["default"].Want("at most ttl.max, %s", m.bp.MaxTTL)
	}
}

func (m *manifest) defaultSize(n *strictyaml.Node) {
	m.bp.DefaultSize = text(n, nameRE, wantName)
	if _, ok := m.bp.SizeNamed(m.bp.DefaultSize); !ok && len(m.bp.Sizes) > 0 {
		names := make([]string, len(m.bp.Sizes))
		for i, s := range m.bp.Sizes {
			names[i] = s.Name
		}
		n.Want("one of %s", strings.Join(names, ", "))
	}
}

func (m *manifest) sizes(n *strictyaml.Node) {
	fields := n.Fields()
	if n.Kind == strictyaml.Map && len(fields) == 0 {
		n.Fail("an empty map", "at least one size")
	}
	for _, f := range fields {
		if !nameRE.MatchString(f.Key) {
			n.FailKey(f, "this key", wantName)
		}
		m.bp.Sizes = append(m.bp.Sizes, m.size(f))
	}
}

func (m *manifest) size(field strictyaml.Field) fleet.Size {
	s := fleet.Size{Name: field.Key, Currency: m.currency}
	n := field.Value
	f := n.Object("cpus", "memory", "pids", "rate_per_hour")
	n.Missing(f, "cpus", "memory", "pids", "rate_per_hour")
	if c := f["cpus"]; c != nil {
		const want = "cores, from 0.1 to 256"
		if v, ok := c.Number(want); ok && (v < 0.1 || v > 256) {
			c.Want(want)
		} else {
			s.CPUs = v
		}
	}
	if c := f["memory"]; c != nil {
		const want = "memory from 64MiB to 4096GiB, such as 512MiB or 2GiB"
		if v, ok := c.Str(want); ok {
			if s.MemoryMiB, ok = mebibytes(v); !ok {
				c.Want(want)
			}
		}
	}
	if c := f["pids"]; c != nil {
		const want = "a number of processes, from 16 to 65536"
		if v, ok := c.Int(want); ok && (v < 16 || v > 65536) {
			c.Want(want)
		} else {
			s.Pids = v
		}
	}
	if c := f["rate_per_hour"]; c != nil {
		const want = `a price in quotes with up to six decimals, such as "0.025000"`
		if v, ok := c.Str(want); ok {
			if s.RateMicros, ok = micros(v); !ok {
				c.Want("%s", want)
			}
		}
	}
	return s
}
