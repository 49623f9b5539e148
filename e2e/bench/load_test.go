package main

import "testing"

func TestBusyIsWhatIsNotIdleNorWaiting(t *testing.T) {
	before, err := readProcessorTime("cpu  100 0 50 800 50 0 0 0 10 0")
	if err != nil {
		t.Fatal(err)
	}
	after, err := readProcessorTime("cpu  180 0 60 805 55 0 0 0 90 0")
	if err != nil {
		t.Fatal(err)
	}
	if got := after.busyPercent(before); got != 90 {
		t.Errorf("got %v %%, want 90: 80 of users and 10 of the system, of 100", got)
	}
	if got := after.busyPercent(after); got != 0 {
		t.Errorf("no time has passed, yet %v %% of it was busy", got)
	}
	for _, line := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 x 4 5 6"} {
		if _, err := readProcessorTime(line); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}
