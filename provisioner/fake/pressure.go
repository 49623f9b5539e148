package fake

import "github.com/bothy-env/bothy/provisioner"

var _ provisioner.Pressured = (*Runtime)(nil)

// SetPressure makes this process see a machine of so many processors that is so busy.
func (w *World) SetPressure(percent float64, processors int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pressure, w.processors = percent, processors
}

// Pressure tells what SetPressure said; unknown before.
func (r *Runtime) Pressure() (percent float64, processors int, ok bool) {
	if r.w.undeclared("read pressure", r.w.like.can.Pressure) != nil {
		return 0, 0, false
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return r.w.pressure, r.w.processors, r.w.processors > 0
}
