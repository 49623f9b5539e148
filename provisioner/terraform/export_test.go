package terraform

// ChooseStates is chooseStates, giving the bytes.
func ChooseStates(given []byte, dir string, refused func(string)) ([][]byte, error) {
	states, err := chooseStates(given, dir, refused)
	var raw [][]byte
	for _, s := range states {
		raw = append(raw, s.raw)
	}
	return raw, err
}

// Printable is printable.
var Printable = printable
