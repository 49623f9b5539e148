package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Origins maps every key to the source of its value: "default", "file
// /etc/bothy/bothyd.yaml", "environment BOTHY_LOG_LEVEL" or "flag --log-level".
type Origins map[string]string

const (
	fromDefault     = "default"
	fromFile        = "file "
	fromEnvironment = "environment "
	fromFlag        = "flag --"
)

// maxFile limits a configuration file, in bytes.
const maxFile = 1 << 20

// AddFlags defines a flag for every key; its help shows the default.
func AddFlags(flags *pflag.FlagSet) {
	shown := defaults(os.Geteuid(), os.Getenv)
	for _, f := range fields {
		switch value := f.in(&shown).Interface().(type) {
		case bool:
			flags.Bool(f.flag(), value, f.help)
		case []string:
			flags.StringSlice(f.flag(), value, f.help)
		default:
			flags.String(f.flag(), show(value), f.help)
		}
	}
}

// Load loads the configuration. env has the form of os.Environ. file is the
// configuration file, which must exist; "" means BOTHY_CONFIG, then DefaultFile if
// it exists. flags may be nil, or lack flags of AddFlags.
//
// Load reports every error at once, joined. Each error has the key, the source of
// the value, the value found and the values allowed.
func Load(flags *pflag.FlagSet, env []string, file string) (Config, Origins, error) {
	return load(flags, env, file, os.Geteuid())
}

func load(flags *pflag.FlagSet, env []string, file string, euid int) (Config, Origins, error) {
	variables := variablesOf(env)
	config := defaults(euid, variables.get)
	l := &loader{viper: viper.New(), origins: Origins{}, bases: map[string]string{}}

	for _, f := range fields {
		l.viper.SetDefault(f.key, f.in(&config).Interface())
		l.origins[f.key] = fromDefault
	}
	if host := variables["DOCKER_HOST"]; host != "" {
		l.layer(map[string]any{"engine.host": host}, func(field) string { return fromEnvironment + "DOCKER_HOST" }, "")
	}
	if err := l.readFile(file, variables); err != nil {
		return Config{}, nil, err
	}
	working, err := os.Getwd()
	if err != nil {
		return Config{}, nil, fmt.Errorf("cannot read configuration: cannot find the working directory: %w", err)
	}
	l.readVariables(variables, working)
	l.readFlags(flags, working)

	for _, f := range fields {
		origin := l.origins[f.key]
		if origin == fromDefault {
			continue
		}
		parse := !strings.HasPrefix(origin, fromFile)
		if err := f.set(&config, l.viper.Get(f.key), parse, l.bases[f.key]); err != nil {
			l.wrong(f.key, err)
		}
	}
	if len(l.problems) == 0 { // these checks would only repeat errors of single values
		if config.Database == "" {
			config.Database = "sqlite://" + filepath.Join(config.StateDir, "bothy.db")
		}
		if config.Advertise == "" {
			config.Advertise = config.Listen.address()
		}
		l.validate(config)
	}
	if len(l.problems) > 0 {
		return Config{}, nil, fmt.Errorf("cannot read configuration: %w", errors.Join(l.problems...))
	}
	return config, l.origins, nil
}

// loader merges the layers.
type loader struct {
	viper    *viper.Viper
	origins  Origins
	bases    map[string]string
	problems []error
}

// wrong records an error in the value of a key.
func (l *loader) wrong(key string, err error) {
	l.problems = append(l.problems, fmt.Errorf("%s (%s): %w", key, l.origins[key], err))
}

// layer overrides the current values.
func (l *loader) layer(values map[string]any, origin func(field) string, base string) {
	nested := map[string]any{}
	for _, f := range fields {
		value, given := values[f.key]
		if !given {
			continue
		}
		l.origins[f.key], l.bases[f.key] = origin(f), base
		at := nested
		parts := strings.Split(f.key, ".")
		for _, part := range parts[:len(parts)-1] {
			if _, there := at[part]; !there {
				at[part] = map[string]any{}
			}
			at = at[part].(map[string]any)
		}
		at[parts[len(parts)-1]] = value
	}
	if err := l.viper.MergeConfigMap(nested); err != nil {
		l.problems = append(l.problems, fmt.Errorf("cannot merge configuration: %w", err))
	}
}

func (l *loader) readFile(file string, variables environment) error {
	named := file
	if named == "" {
		named = variables[fileVariable]
	}
	file = named
	if file == "" {
		file = DefaultFile
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && named == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read configuration: %w", err)
	}
	if len(text) > maxFile {
		return fmt.Errorf("cannot read configuration: %s has %d bytes, and the limit is %d", file, len(text), maxFile)
	}
	file, err = filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("cannot read configuration: %w", err)
	}
	unknown, err := unknownKeys(file, text)
	if err != nil {
		return fmt.Errorf("cannot read configuration: %w", err)
	}
	l.problems = append(l.problems, unknown...)

	reader := viper.New()
	reader.SetConfigType("yaml")
	if err := reader.ReadConfig(bytes.NewReader(text)); err != nil {
		if len(unknown) > 0 {
			return nil // those errors have the line
		}
		return fmt.Errorf("cannot read configuration %s: %w", file, err)
	}
	values := map[string]any{}
	for _, f := range fields {
		if value := reader.Get(f.key); value != nil { // ignore a key without a value
			values[f.key] = value
		}
	}
	l.layer(values, func(field) string { return fromFile + file }, filepath.Dir(file))
	return nil
}

func (l *loader) readVariables(variables environment, base string) {
	l.problems = append(l.problems, variables.unknown()...)
	values := map[string]any{}
	for _, f := range fields {
		if value, given := variables[f.variable()]; given {
			values[f.key] = value
		}
	}
	l.layer(values, func(f field) string { return fromEnvironment + f.variable() }, base)
}

func (l *loader) readFlags(flags *pflag.FlagSet, base string) {
	if flags == nil {
		return
	}
	for _, f := range fields {
		flag := flags.Lookup(f.flag())
		if flag == nil || !flag.Changed {
			continue
		}
		if err := l.viper.BindPFlag(f.key, flag); err != nil {
			l.problems = append(l.problems, fmt.Errorf("bind --%s: %w", f.flag(), err))
			continue
		}
		l.origins[f.key], l.bases[f.key] = fromFlag+f.flag(), base
	}
}
