package loadtest

import "time"

// Publishers publishes each message to all of several servers.
type Publishers []*Pipeline

// Queue is Pipeline's.
func (ps Publishers) Queue(stream int, payload []byte) error {
	for _, p := range ps {
		_ = p.Queue(stream, payload) // always nil
	}
	return nil
}

// Flush is Pipeline's.
func (ps Publishers) Flush() error {
	for _, p := range ps {
		_ = p.Flush() // always nil
	}
	return nil
}

// Settle is Pipeline's. The counts are sums; the excused are known for a single
// server only.
func (ps Publishers) Settle(timeout time.Duration) (all Outcome) {
	for i, p := range ps {
		one := p.Settle(timeout)
		if i == 0 {
			all = one
			continue
		}
		one.Excused, all.Excused = nil, nil
		all.add(one)
	}
	return all
}

// Close closes all.
func (ps Publishers) Close() error {
	for _, p := range ps {
		_ = p.Close() // always nil
	}
	return nil
}
