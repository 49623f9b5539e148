package accounts

import (
	"strconv"
	"testing"
)

// TestMostGroups: a user of an image in more groups than are given has none of them, and is no cost.
func TestMostGroups(t *testing.T) {
	for n, want := range map[int]bool{0: false, 1: true, 64: true, 65: false, 100_000: false} {
		if got := grouped(n); got != want {
			t.Errorf("a user in %d groups is given them: %v, want %v", n, got, want)
		}
	}
}

// grouped reports whether a user of so many supplementary groups is given them.
func grouped(n int) bool {
	who := Account{name: "ops", UID: 1, GID: 1}
	a := &Users{users: map[string]Account{"ops": who}, groups: map[string]int{}, first: map[int]Account{1: who}, members: map[string][]int{}}
	for gid := range n {
		a.addGroup([]string{"g", "x", strconv.Itoa(gid), "other,ops"})
	}
	return a.Grouped(who)
}
