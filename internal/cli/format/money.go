// Package format turns money, durations, sizes and rows into text for people.
// Everything in it is pure.
package format

import (
	"fmt"
	"strings"
)

// Money formats millionths of a currency unit with integer arithmetic: "$0.0123", or
// "0.0123 EUR" if the currency is not USD. It rounds half up to four decimals, and shows
// all six for amounts that would be zero with four.
func Money(micros int64, currency string) string {
	sign, abs := "", uint64(micros)
	if micros < 0 {
		sign, abs = "-", -abs
	}
	amount := fmt.Sprintf("%d.%06d", abs/1e6, abs%1e6)
	if abs == 0 || abs >= 100 {
		tenthMills := abs/100 + abs%100/50
		amount = fmt.Sprintf("%d.%04d", tenthMills/1e4, tenthMills%1e4)
	}
	if currency == "" || currency == "USD" {
		return sign + "$" + amount
	}
	return sign + amount + " " + Clean(currency)
}

// Rate formats a price per hour: "$0.0100/h".
func Rate(microsPerHour int64, currency string) string {
	amount, code, found := strings.Cut(Money(microsPerHour, currency), " ")
	if found {
		return amount + " " + code + "/h"
	}
	return amount + "/h"
}
