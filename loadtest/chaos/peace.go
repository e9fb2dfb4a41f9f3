package chaos

import (
	"sync"
	"time"
)

// peace is whether a server serves undisturbed. A connection that ends with the number
// with which it began was ended by the server, and not by what was done to the server.
type peace struct {
	mu         sync.Mutex
	disturbers int       // what is being done to it now; 1 before the first start
	generation int64     // counts what was done
	from       time.Time // when that has no more consequences
}

// disturb says that something will be done to the server.
func (p *peace) disturb() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disturbers++
	p.generation++
}

// restore says that it is over, and has consequences for so long.
func (p *peace) restore(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disturbers--
	if from := time.Now().Add(grace); from.After(p.from) {
		p.from = from
	}
}

// number is above 0 while the server is at peace, another one in each peace.
func (p *peace) number() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disturbers > 0 || time.Now().Before(p.from) {
		return 0
	}
	return p.generation + 1
}
