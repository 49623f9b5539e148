package pools

import (
	"regexp"

	"github.com/bothy-env/bothy/internal/fleet"
)

// poolPattern is shorter than an environment's name: members are called after their pool.
var poolPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

const (
	// maxSchedule bounds the entries of a pool's schedule.
	maxSchedule  = 100
	minutesADay  = 24 * 60
	daysOfAWeek  = 7
	poolNameHint = "use 1 to 40 lower-case letters, digits and dashes, with a letter or digit at both ends"
)

// check checks what somebody wrote for a pool.
func (c *Catalogue) check(p *fleet.Pool) error {
	if !poolPattern.MatchString(p.Name) {
		return fleet.Errorf(fleet.CodeInvalid, "a pool cannot be called %q", fleet.Short(p.Name)).WithHint(poolNameHint)
	}
	if p.Blueprint == "" {
		return fleet.Errorf(fleet.CodeInvalid, "pool %s names no blueprint", p.Name).WithHint("see: bothy blueprint ls")
	}
	bp, _, err := c.cfg.Offer.Sized(p.Blueprint, p.Size)
	if err != nil {
		return err
	}
	if len(p.Schedule) == 0 {
		p.Schedule = nil
	}
	if p.Inputs, err = givenInputs(bp, p.Inputs); err != nil {
		return err
	}
	return checkCounts(p)
}

// givenInputs checks inputs, and gives those that were given as the blueprint has them; what was left out follows the blueprint.
func givenInputs(bp fleet.Blueprint, given map[string]any) (map[string]any, error) {
	checked, err := fleet.CheckInputs(bp, given)
	if err != nil {
		return nil, err
	}
	for name := range checked {
		if _, ok := given[name]; !ok {
			delete(checked, name)
		}
	}
	if len(checked) == 0 {
		return nil, nil
	}
	return checked, nil
}

func checkCounts(p *fleet.Pool) error {
	for _, c := range []struct {
		what string
		n    int
	}{{"target", p.Target}, {"minimum", p.Min}, {"maximum", p.Max}, {"surge", p.Surge}} {
		if c.n < 0 || c.n > fleet.MaxPoolCount {
			return fleet.Errorf(fleet.CodeInvalid, "the %s of pool %s is %d", c.what, p.Name, c.n).WithHint("give 0 to %d", fleet.MaxPoolCount)
		}
	}
	if p.Min > p.Max {
		return fleet.Errorf(fleet.CodeInvalid, "the minimum of pool %s, %d, is above its maximum, %d", p.Name, p.Min, p.Max).
			WithHint("give a minimum of %d or less", p.Max)
	}
	if err := checkTarget(p, "target", p.Target); err != nil {
		return err
	}
	if len(p.Schedule) > maxSchedule {
		return fleet.Errorf(fleet.CodeInvalid, "the schedule of pool %s has %d entries", p.Name, len(p.Schedule)).WithHint("give at most %d", maxSchedule)
	}
	if err := fleet.CheckZone(p.Zone()); err != nil {
		return err
	}
	for _, s := range p.Schedule {
		if err := checkTarget(p, "a scheduled target", s.Target); err != nil {
			return err
		}
		if err := checkTimes(p, s); err != nil {
			return err
		}
	}
	return checkRenewal(p)
}

// checkRenewal refuses bounds that would keep the members of an older digest for ever.
func checkRenewal(p *fleet.Pool) error {
	if !p.NeverRenewed() {
		return nil
	}
	err := fleet.Errorf(fleet.CodeInvalid, "pool %s could never be rolled over to a new version: its minimum, %d, lets no old member go first, "+
		"and its maximum, %d, no new one be made beside them", p.Name, p.Min, p.Max)
	if p.Max == fleet.MaxPoolCount {
		return err.WithHint("give a minimum of %d or less", p.Min-1)
	}
	return err.WithHint("give a maximum of %d or more, or a minimum of %d or less", p.Max+1, p.Min-1)
}

func checkTarget(p *fleet.Pool, what string, target int) error {
	if target < p.Min || target > p.Max {
		return fleet.Errorf(fleet.CodeInvalid, "%s of pool %s is %d, and its minimum and maximum are %d and %d", what, p.Name, target, p.Min, p.Max).
			WithHint("give %d to %d, or move the bounds", p.Min, p.Max)
	}
	return nil
}

func checkTimes(p *fleet.Pool, s fleet.ScheduledTarget) error {
	if s.From < 0 || s.From >= minutesADay || s.Until < 0 || s.Until > minutesADay {
		return fleet.Errorf(fleet.CodeInvalid, "the schedule of pool %s runs from minute %d until minute %d of a day", p.Name, s.From, s.Until).
			WithHint("a day has the minutes 0 to %d", minutesADay)
	}
	if len(s.Days) > daysOfAWeek {
		return fleet.Errorf(fleet.CodeInvalid, "an entry of the schedule of pool %s names %d days", p.Name, len(s.Days)).WithHint("name each day once")
	}
	for _, d := range s.Days {
		if d < 0 || d >= daysOfAWeek {
			return fleet.Errorf(fleet.CodeInvalid, "the schedule of pool %s names day %d", p.Name, d).WithHint("the days are 0, Sunday, to 6, Saturday")
		}
	}
	return nil
}
