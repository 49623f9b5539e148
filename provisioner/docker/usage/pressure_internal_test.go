package usage

import "testing"

// TestReadPressure: the form is that of Documentation/accounting/psi.rst; what is none of it is not taken for calm or for busy.
func TestReadPressure(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		percent float64
		ok      bool
	}{
		"some avg10=83.65 avg60=35.47 avg300=22.35 total=803725725\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n": {83.65, true},
		"full avg10=9.00 avg60=0.00 avg300=0.00 total=0\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=1\n":            {0, true},
		"some avg10=much avg60=0.00\n": {0, false},
		"some avg60=12.00\n":           {0, false},
		"some\n":                       {0, false},
		"":                             {0, false},
	} {
		if percent, ok := readPressure(text); percent != want.percent || ok != want.ok {
			t.Errorf("%q: %v, %t; want %+v", text, percent, ok, want)
		}
	}
}
