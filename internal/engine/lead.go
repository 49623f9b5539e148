package engine

import "context"

// leadership is whether this daemon's controller is the one that plans. More than one would do
// no harm, as every action is checked against the row's revision; one is enough.
//
// The controller alone asks.
type leadership struct {
	lost   <-chan struct{}
	resign func()
}

// lead reports whether this daemon is the controller, and tries to become it when nobody is.
func (l *leadership) lead(ctx context.Context, e *Engine) (bool, error) {
	if l.resign != nil {
		select {
		case <-l.lost: // nil, so never, where there is only one daemon
			l.resign = nil
			e.plans.Store(false)
		default:
			return true, nil
		}
	}
	leads, lost, resign, err := e.store.Lead(ctx)
	if err != nil || !leads {
		return false, err
	}
	if e.store.Shared() {
		e.logger.Info("this daemon plans now")
	}
	l.lost, l.resign = lost, resign
	e.plans.Store(true)
	return true, nil
}

// end lets another daemon plan.
func (l *leadership) end(e *Engine) {
	if l.resign != nil {
		e.plans.Store(false)
		l.resign()
		l.resign = nil
	}
}
