package acquire

import (
	"cmp"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
)

// DefaultBlueprint is the blueprint of a request that names none.
const DefaultBlueprint = "build"

// Blueprints finds blueprints.
type Blueprints interface {
	// Get returns a blueprint by name or name@version.
	Get(name string) (fleet.Blueprint, error)
}

// Catalogue finds what a request or a pool names, and its price.
type Catalogue struct{ Blueprints }

// Sized finds a blueprint and one of its sizes. Empty names mean the defaults.
//
// Errors: not_found (no such blueprint), invalid (no such size).
func (c Catalogue) Sized(blueprint, size string) (fleet.Blueprint, fleet.Size, error) {
	bp, err := c.Get(cmp.Or(blueprint, DefaultBlueprint))
	if wrong, ok := errors.AsType[*fleet.Error](err); ok {
		of := *wrong // the catalogue does not know the field of the request
		return bp, fleet.Size{}, of.About("blueprint")
	}
	if err != nil {
		return bp, fleet.Size{}, err
	}
	found, ok := bp.SizeNamed(size)
	if !ok {
		return bp, found, fleet.Errorf(fleet.CodeInvalid, "blueprint %s has no size %q", bp.Ref, fleet.Short(size)).
			WithHint("its sizes: %s", SizeNames(bp)).About("size")
	}
	return bp, found, nil
}

// Priced returns a size at the price in force at a time: the rate of the platform team, or the price of the blueprint.
func (Catalogue) Priced(size fleet.Size, bp fleet.Blueprint, rates []fleet.Rate, at time.Time) fleet.Size {
	return Priced(size, bp, rates, at)
}

// Priced returns a size at the price in force at a time: the rate of the platform team, or the price of the blueprint.
func Priced(size fleet.Size, bp fleet.Blueprint, rates []fleet.Rate, at time.Time) fleet.Size {
	if rate, ok := ledger.RateAt(rates, bp.Ref.Name, size.Name, at); ok {
		size.RateMicros, size.Currency = rate.Micros, rate.Currency
	}
	return size
}

// Blank returns the row that every environment of a blueprint begins with.
func Blank(bp fleet.Blueprint, size fleet.Size, inputs map[string]any) fleet.Environment {
	return fleet.Environment{
		Blueprint: bp.Ref, Size: size, Image: bp.Image, Users: bp.Users, Workspace: bp.Workspace,
		Inputs: inputs, State: fleet.Pending, Lease: fleet.Lease{TTL: bp.DefaultTTL, MaxTTL: bp.MaxTTL},
	}
}

// Offered returns the row of a blueprint in a size, at the price in force at a time.
func Offered(bp fleet.Blueprint, size fleet.Size, rates []fleet.Rate, at time.Time) fleet.Environment {
	return Blank(bp, Priced(size, bp, rates, at), nil)
}

// SizeNames lists the sizes of a blueprint for a hint.
func SizeNames(bp fleet.Blueprint) string {
	var names string
	for i, s := range bp.Sizes {
		if i > 0 {
			names += ", "
		}
		names += s.Name
	}
	return names
}
