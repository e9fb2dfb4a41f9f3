package loop

import "context"

// Watch finds event loops that are stuck: a loop that turns runs what was posted to it.
// One goroutine at a time may use it.
type Watch struct {
	group  *Group
	asked  []bool          // the loop has not run yet what was posted to it
	turned []chan struct{} // one value for each loop that was asked, so a loop never waits
}

// NewWatch returns a Watch for the loops of g.
func (g *Group) NewWatch() *Watch {
	w := &Watch{group: g, asked: make([]bool, len(g.loops))}
	for range g.loops {
		w.turned = append(w.turned, make(chan struct{}, 1))
	}
	return w
}

// Stuck returns the numbers of the loops that have not turned when ctx ends. Loops whose
// end was requested are not among them. It leaves at most one task at each loop,
// however often it is called.
func (w *Watch) Stuck(ctx context.Context) (loops []int) {
	for i, l := range w.group.loops {
		if !w.asked[i] {
			w.asked[i] = true
			l.Post(func() { w.turned[i] <- struct{}{} })
		}
	}
	for i, l := range w.group.loops {
		select {
		case <-w.turned[i]:
			w.asked[i] = false
			continue
		default:
		}
		select {
		case <-w.turned[i]:
			w.asked[i] = false
		case <-ctx.Done():
			if !l.stopping.Load() {
				loops = append(loops, i)
			}
		}
	}
	return loops
}
