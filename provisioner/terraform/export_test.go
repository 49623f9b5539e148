package terraform

import "time"

// ChooseStates is chooseStates, giving the bytes.
func ChooseStates(given []byte, dir string, refused func(string)) ([][]byte, error) {
	states, err := chooseStates(given, dir, refused)
	var raw [][]byte
	for _, s := range states {
		raw = append(raw, s.raw)
	}
	return raw, err
}

// AgeReplaced lets time pass for what was seen to be replaced.
func (d *Driver) AgeReplaced(by time.Duration) {
	d.replaced.mu.Lock()
	defer d.replaced.mu.Unlock()
	for name, since := range d.replaced.since {
		d.replaced.since[name] = since.Add(-by)
	}
}
