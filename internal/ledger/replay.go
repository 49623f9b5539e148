package ledger

import (
	"cmp"
	"slices"
)

// Sum is an account's total debits and credits, in millionths of Currency.
type Sum struct {
	Account, Currency string
	Debit, Credit     int64
}

// Replay adds up entries by account, sorted by account and currency. Neither the order of the entries nor how they are cut into parts
// matters. Debits and credits are equal over all accounts, and the credit of AccountCapacity equals the debits of the five accounts of
// time.
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
