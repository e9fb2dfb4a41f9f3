package chaos

import (
	"sync"
	"time"
)

// publication is one message that was published. If it was not acknowledged,
// it may be in the log or not.
type publication struct {
	label
	at     place     // where the server said it is; zero: not acknowledged
	sent   time.Time // when it was begun
	cursor string    // likewise, as the server wrote it
	again  bool      // sent more than once: the answer may name a later life than that of its birth
}

// ledger is all publications. Any goroutine may use it.
type ledger struct {
	mu      sync.Mutex
	all     []publication // the one with id i is all[i-1]
	numbers map[int32]uint32
}

// begin enters a publication that is about to be sent.
func (l *ledger) begin(channel int32) label {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.numbers == nil {
		l.numbers = map[int32]uint32{}
	}
	l.numbers[channel]++
	p := publication{label: label{uint64(len(l.all) + 1), channel, l.numbers[channel]}, sent: time.Now()}
	l.all = append(l.all, p)
	return p.label
}

// next is the id of the next publication.
func (l *ledger) next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.all) + 1)
}

// began is when a publication was begun; the zero time if there is none with that id.
func (l *ledger) began(id uint64) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id < 1 || id > uint64(len(l.all)) {
		return time.Time{}
	}
	return l.all[id-1].sent
}

// repeat notes that the publication is about to be sent again.
func (l *ledger) repeat(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[id-1].again = true
}

// at is where a message was acknowledged to be.
func (l *ledger) at(id uint64) place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[id-1].at
}

// acknowledge notes that the server has it, and where.
func (l *ledger) acknowledge(id uint64, at place, cursor string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[id-1].at, l.all[id-1].cursor = at, cursor
}
