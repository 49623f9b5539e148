package ledger

import (
	"cmp"
	"slices"
)

// Sum is what an account has been debited and credited, in millionths of Currency.
type Sum struct {
	Account, Currency string
	Debit, Credit     int64
}

// Replay adds up entries by account, in order of account and currency. The order of the entries
// does not matter, and neither does how they are cut into parts. Debits and credits are equal over
// all accounts, and what AccountCapacity was credited is what the five accounts of time were debited.
func Replay(entries []Entry) []Sum {
	sums := map[[2]string]Sum{}
	post := func(account, currency string, debit, credit int64) {
		at := [2]string{account, currency}
		s := sums[at]
		sums[at] = Sum{account, currency, plus(s.Debit, debit), plus(s.Credit, credit)}
	}
	for _, e := range entries {
		post(e.Debit, e.Currency, e.AmountMicros, 0)
		post(e.Credit, e.Currency, 0, e.AmountMicros)
	}
	out := make([]Sum, 0, len(sums))
	for _, s := range sums {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Sum) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Currency, b.Currency))
	})
	return out
}
