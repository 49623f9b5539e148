package config

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one key of the configuration, described by the tags of its struct field.
type field struct {
	key, help string
	path      bool
	oneof     []string
	min, max  string
	index     []int
	kind      reflect.Type
}

// fields lists every key in the order of the structs.
var fields = fieldsOf(reflect.TypeFor[Config](), "", nil)

func fieldsOf(of reflect.Type, prefix string, index []int) []field {
	var all []field
	for i := range of.NumField() {
		f := of.Field(i)
		key := prefix + f.Tag.Get("key")
		at := append(append([]int{}, index...), i)
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[netip.Prefix]() {
			all = append(all, fieldsOf(f.Type, key+".", at)...)
			continue
		}
		all = append(all, field{
			key: key, help: f.Tag.Get("help"), path: f.Tag.Get("kind") == "path",
			oneof: strings.Fields(f.Tag.Get("oneof")), min: f.Tag.Get("min"), max: f.Tag.Get("max"),
			index: at, kind: f.Type,
		})
	}
	return all
}

// variable is the field's environment variable.
func (f field) variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// flag is the name of the field's flag, without the dashes.
func (f field) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(f.key)
}

// in gives the field's place in a configuration.
func (f field) in(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(f.index) }

// set decodes a raw value, as viper holds it, into the configuration. A text is
// parsed when it comes from a variable or flag; a file must have the type right.
// Relative paths are taken from base.
func (f field) set(c *Config, raw any, parse bool, base string) error {
	value, err := f.decode(raw, parse)
	if err != nil {
		return err
	}
	if err := f.bounds(value); err != nil {
		return err
	}
	if f.path {
		value = absolute(value, base)
	}
	f.in(c).Set(reflect.ValueOf(value))
	return nil
}

func (f field) decode(raw any, parse bool) (any, error) {
	text, isText := raw.(string)
	switch f.kind {
	case reflect.TypeFor[string]():
		if !isText {
			return nil, wrong(raw, "text")
		}
		return text, nil
	case reflect.TypeFor[bool]():
		if b, ok := raw.(bool); ok {
			return b, nil
		}
		if b, err := strconv.ParseBool(text); parse && err == nil {
			return b, nil
		}
		return nil, wrong(raw, "true or false")
	case reflect.TypeFor[int]():
		if n, ok := raw.(int); ok {
			return n, nil
		}
		if n, err := strconv.Atoi(text); parse && err == nil {
			return n, nil
		}
		return nil, wrong(raw, "a whole number")
	case reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if !isText || err != nil {
			return nil, wrong(raw, "a duration, for example 90s or 15m")
		}
		return d, nil
	case reflect.TypeFor[netip.Prefix]():
		if !isText {
			return nil, wrong(raw, "an address range, for example 172.30.0.0/16")
		}
		return prefixOf(text)
	case reflect.TypeFor[[]string]():
		return texts(raw, parse)
	case reflect.TypeFor[[]netip.Prefix]():
		all, err := texts(raw, parse)
		if err != nil {
			return nil, err
		}
		var ranges []netip.Prefix
		for _, one := range all {
			p, err := prefixOf(one)
			if err != nil {
				return nil, err
			}
			ranges = append(ranges, p)
		}
		return ranges, nil
	}
	return nil, fmt.Errorf("no decoder for the type %v", f.kind)
}

func wrong(raw any, want string) error {
	if text, ok := raw.(string); ok {
		return fmt.Errorf("%q is not %s", text, want)
	}
	return fmt.Errorf("%v is not %s", raw, want)
}

func prefixOf(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, wrong(text, "an address range, for example 172.30.0.0/16")
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits after its mask; did you mean %s?", text, p.Masked())
	}
	return p, nil
}

// texts reads a list: of texts, or, where a text is parsed, separated by commas.
func texts(raw any, parse bool) ([]string, error) {
	var all []string
	switch list := raw.(type) {
	case []string:
		all = list
	case []any:
		for _, one := range list {
			text, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("%v in the list is not text", one)
			}
			all = append(all, text)
		}
	case string:
		if !parse {
			return nil, wrong(raw, "a list")
		}
		if list == "" {
			return nil, nil
		}
		var err error
		if all, err = csv.NewReader(strings.NewReader(list)).Read(); err != nil {
			return nil, wrong(raw, "a list separated by commas")
		}
	default:
		return nil, wrong(raw, "a list")
	}
	for i, one := range all {
		if all[i] = strings.TrimSpace(one); all[i] == "" {
			return nil, errors.New("the list contains an empty value")
		}
	}
	return all, nil
}

// bounds checks oneof, min and max.
func (f field) bounds(value any) error {
	switch v := value.(type) {
	case string:
		if len(f.oneof) == 0 {
			return nil
		}
		for _, allowed := range f.oneof {
			if v == allowed {
				return nil
			}
		}
		return fmt.Errorf("got %q, want %s", v, strings.Join(f.oneof, ", "))
	case int:
		low, high := mustInt(f.min), mustInt(f.max)
		if v < low || v > high {
			return fmt.Errorf("got %d, want %d to %d", v, low, high)
		}
	case time.Duration:
		low, high := mustDuration(f.min), mustDuration(f.max)
		if v < low || v > high {
			return fmt.Errorf("got %s, want %s to %s", short(v), short(low), short(high))
		}
	}
	return nil
}

// mustInt and mustDuration read tags, which a test checks.
func mustInt(tag string) int {
	n, err := strconv.Atoi(tag)
	if err != nil {
		panic("config: a number's field has no limits: " + err.Error())
	}
	return n
}

func mustDuration(tag string) time.Duration {
	d, err := time.ParseDuration(tag)
	if err != nil {
		panic("config: a duration's field has no limits: " + err.Error())
	}
	return d
}

// short writes a duration without its zero parts: 15m, not 15m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func absolute(value any, base string) any {
	one := func(p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(base, p)
	}
	switch v := value.(type) {
	case string:
		return one(v)
	case []string:
		var all []string
		for _, p := range v {
			all = append(all, one(p))
		}
		return all
	}
	return value
}
