package quota

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Changes says what limits become that were others, as people write them: "environments 10 (was 5), money a day no limit (was 2.50)".
func Changes(was, is fleet.Limits) string {
	before, after := texts(was), texts(is)
	var changed []string
	for i := range after {
		if before[i] != after[i] {
			changed = append(changed, fmt.Sprintf("%s %s (was %s)", after[i].what, after[i].text, before[i].text))
		}
	}
	if len(changed) == 0 {
		return "as they were"
	}
	return strings.Join(changed, ", ")
}

// limitText is a limit for people.
type limitText struct{ what, text string }

func texts(l fleet.Limits) []limitText {
	const none, all = "no limit", "any"
	amount := func(of measure, n *int64) limitText {
		if n == nil {
			return limitText{of.what, none}
		}
		return limitText{of.what, amountText(*n, of.unit, of.currency)}
	}
	longest := none
	if l.MaxTTL != nil {
		longest = l.MaxTTL.String()
	}
	list := func(what string, names []string) limitText {
		if len(names) == 0 {
			return limitText{what, all}
		}
		return limitText{what, strings.Join(slices.Sorted(slices.Values(names)), " ")}
	}
	return []limitText{
		amount(environments, l.Environments), amount(cpus, l.MilliCPUs), amount(memory, l.MemoryMiB), amount(leasedTime, l.SecondsPerDay),
		amount(money(PeriodDay, ""), l.MicrosPerDay), amount(money(PeriodMonth, ""), l.MicrosPerMonth),
		{"longest lease", longest}, list("blueprints", l.Blueprints), list("sizes", l.Sizes),
	}
}
