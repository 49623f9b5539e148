package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// Setting is one key with its effective value as text, and the source of the value.
type Setting struct {
	Key, Value, Origin string
}

// Effective lists every key in order, secrets redacted.
func (c Config) Effective(origins Origins) []Setting {
	all := make([]Setting, 0, len(fields))
	for _, f := range fields {
		all = append(all, Setting{Key: f.key, Value: redact(show(f.in(&c).Interface())), Origin: origins[f.key]})
	}
	return all
}

// show formats a value as in a variable.
func show(value any) string {
	switch v := value.(type) {
	case []string:
		return strings.Join(v, ",")
	case []netip.Prefix:
		all := make([]string, 0, len(v))
		for _, p := range v {
			all = append(all, p.String())
		}
		return strings.Join(all, ",")
	case time.Duration:
		return short(v)
	}
	return fmt.Sprint(value)
}

const redacted = "REDACTED"

// redact removes the password from anything that looks like a URL. It hides a URL
// that it cannot parse.
func redact(value string) string {
	if !strings.Contains(value, "://") {
		return value
	}
	u, err := url.Parse(value)
	if err != nil {
		return redacted
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), redacted)
	}
	query := u.Query()
	for name := range query {
		if lower := strings.ToLower(name); strings.Contains(lower, "password") || strings.Contains(lower, "secret") || strings.Contains(lower, "token") {
			query.Set(name, redacted)
			u.RawQuery = query.Encode()
		}
	}
	return u.String()
}

// Sample returns a configuration file with every key, its help and its default, all commented out.
func Sample() string { return sample(os.Geteuid(), os.Getenv) }

func sample(euid int, getenv func(string) string) string {
	c := defaults(euid, getenv)
	var b strings.Builder
	b.WriteString("# Configuration of bothyd. Every key is optional. The values below are the defaults.\n")
	section := ""
	for _, f := range fields {
		indent, name := "", f.key
		if before, after, nested := strings.Cut(f.key, "."); nested {
			if before != section {
				fmt.Fprintf(&b, "\n%s:\n", before)
			}
			section, indent, name = before, "  ", after
		} else {
			section = ""
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s# %s.\n%s# %s: %s\n", indent, f.help, indent, name, yamlOf(f.in(&c).Interface()))
	}
	return b.String()
}

// yamlOf writes a value as YAML.
func yamlOf(value any) string {
	switch v := value.(type) {
	case []string, []netip.Prefix:
		text := show(v)
		if text == "" {
			return "[]"
		}
		return "[" + strings.ReplaceAll(text, ",", ", ") + "]"
	case string:
		if v == "" {
			return `""`
		}
	}
	return show(value)
}
