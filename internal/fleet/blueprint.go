package fleet

import (
	"slices"
	"time"
)

// Blueprint is a versioned, immutable golden path, loaded and checked.
type Blueprint struct {
	Ref         BlueprintRef
	Description string
	// Dir is a content-addressed directory with its *.tf files; it never changes.
	Dir string
	// Image is the sandbox image.
	Image string
	// Users are the users that exec may run as; the first is the default.
	Users []string
	// Workspace is the directory that source is copied to.
	Workspace string
	// DefaultTTL is the default lease, MaxTTL the longest lifetime.
	DefaultTTL, MaxTTL time.Duration
	// Sizes are in the blueprint's order; DefaultSize names one of them.
	Sizes       []Size
	DefaultSize string
	// Inputs are in the blueprint's order.
	Inputs []Input
	// Trusted: the platform team lets this digest exceed the limits of a sandbox.
	Trusted bool
}

// Input is one typed input of a blueprint, with its limits.
type Input struct {
	Name        string
	Description string
	// Type is "string", "integer", "number" or "boolean".
	Type string
	// Default is nil when the input is required.
	Default any
	// Enum lists the allowed values when not empty.
	Enum []any
	// Pattern is a regular expression (RE2) that a string must match whole.
	Pattern string
	// Min and Max bound a number, or the length of a string in bytes.
	Min, Max *float64
}

// Required reports whether the input has no default.
func (i Input) Required() bool { return i.Default == nil }

// Root reports whether commands may run as root.
func (b Blueprint) Root() bool { return slices.Contains(b.Users, "root") }

// SizeNamed returns a size by name, the default size for "".
func (b Blueprint) SizeNamed(name string) (Size, bool) {
	if name == "" {
		name = b.DefaultSize
	}
	i := slices.IndexFunc(b.Sizes, func(s Size) bool { return s.Name == name })
	if i < 0 {
		return Size{}, false
	}
	return b.Sizes[i], true
}
