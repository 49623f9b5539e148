// Package quota decides whether a request may be admitted: limits, what is used and what is asked
// give a yes, or a refusal that a person can act on. It is pure: no clock, no input or output.
package quota

import (
	"cmp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Ask is what a request wants.
type Ask struct {
	// Blueprint and Size by name.
	Blueprint, Size string
	// MilliCPUs and MemoryMiB are the size's.
	MilliCPUs, MemoryMiB int64
	// TTL is the lease that is asked for.
	TTL time.Duration
	// Micros is the price of the whole lease, in millionths of Currency.
	Micros   int64
	Currency string
}

// Extension is what the holder of a lease wants on top of it.
type Extension struct {
	// By is how much longer; Lifetime is from the lease's start to its new end.
	By, Lifetime time.Duration
	// Micros is the price of By, in millionths of Currency.
	Micros   int64
	Currency string
}

// Decide gives nil when the request is within every limit of every scope, else the refusal of the
// widest scope that refuses. The scopes' usage is without the request. A limit below what is used
// already refuses new requests and does nothing else.
func Decide(ask Ask, scopes []fleet.ScopeUsage) *Refusal {
	return first(scopes, func(s fleet.ScopeUsage) []*Refusal {
		return []*Refusal{
			listed(s.Scope, "blueprint", ask.Blueprint, s.Limits.Blueprints),
			listed(s.Scope, "size", ask.Size, s.Limits.Sizes),
			lifetime(s, ask.TTL),
			bounded(s.Scope, environments, 1, s.Usage.Environments, s.Limits.Environments),
			bounded(s.Scope, cpus, ask.MilliCPUs, s.Usage.MilliCPUs, s.Limits.MilliCPUs),
			bounded(s.Scope, memory, ask.MemoryMiB, s.Usage.MemoryMiB, s.Limits.MemoryMiB),
			leased(s, ask.TTL),
			daily(s, ask.Micros, ask.Currency),
			monthly(s, ask.Micros, ask.Currency),
		}
	})
}

// CheckExtend gives nil when a lease may be extended, else the refusal of the widest scope that
// refuses. The scopes' usage holds the lease as it is.
func CheckExtend(ext Extension, scopes []fleet.ScopeUsage) *Refusal {
	return first(scopes, func(s fleet.ScopeUsage) []*Refusal {
		return []*Refusal{
			lifetime(s, ext.Lifetime),
			leased(s, ext.By),
			daily(s, ext.Micros, ext.Currency),
			monthly(s, ext.Micros, ext.Currency),
		}
	}).ofExtension()
}

// first asks the widest scope first, and gives the first refusal.
func first(scopes []fleet.ScopeUsage, check func(fleet.ScopeUsage) []*Refusal) *Refusal {
	scopes = slices.SortedStableFunc(slices.Values(scopes), func(a, b fleet.ScopeUsage) int {
		return cmp.Compare(width(a.Scope.Kind), width(b.Scope.Kind))
	})
	for _, s := range scopes {
		for _, r := range check(s) {
			if r != nil {
				return r
			}
		}
	}
	return nil
}

func width(kind string) int {
	return slices.Index([]string{fleet.ScopeTenant, fleet.ScopeTeam, fleet.ScopeUser}, kind)
}

func lifetime(s fleet.ScopeUsage, ttl time.Duration) *Refusal {
	if s.Limits.MaxTTL == nil || ttl <= *s.Limits.MaxTTL {
		return nil
	}
	return tooLong(s.Scope, ttl, *s.Limits.MaxTTL)
}

func leased(s fleet.ScopeUsage, ttl time.Duration) *Refusal {
	return bounded(s.Scope, leasedTime, wholeSeconds(ttl), s.Usage.SecondsToday, s.Limits.SecondsPerDay)
}

func daily(s fleet.ScopeUsage, micros int64, currency string) *Refusal {
	return bounded(s.Scope, money(PeriodDay, currency), micros, s.Usage.MicrosToday, s.Limits.MicrosPerDay)
}

func monthly(s fleet.ScopeUsage, micros int64, currency string) *Refusal {
	return bounded(s.Scope, money(PeriodMonth, currency), micros, s.Usage.MicrosThisMonth, s.Limits.MicrosPerMonth)
}

// bounded refuses what does not fit below a limit. It never adds: sums of huge numbers overflow.
func bounded(scope fleet.Scope, of measure, asked, used int64, allowed *int64) *Refusal {
	asked, used = max(asked, 0), max(used, 0)
	if allowed == nil || asked == 0 || (used <= *allowed && asked <= *allowed-used) {
		return nil
	}
	return overLimit(scope, of, asked, used, *allowed)
}

// wholeSeconds rounds up, so that no part of a second is free.
func wholeSeconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Second) + 1
}
