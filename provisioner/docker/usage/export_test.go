package usage

// HoldSizes keeps sizes that are read from being noted until the returned function is called.
func (m *Meter) HoldSizes() (release func()) {
	held := make(chan struct{})
	m.sizes.hold = held
	return func() { close(held) }
}
