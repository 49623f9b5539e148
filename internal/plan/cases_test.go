package plan_test

import "flag"

// A property tries 10,000 cases, a hundred times as many as rapid by itself, unless -rapid.checks says otherwise.
func init() {
	if err := flag.Set("rapid.checks", "10000"); err != nil {
		panic(err)
	}
}
