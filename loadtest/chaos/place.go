package chaos

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// place is where a cursor points. The zero place is none.
type place struct {
	life     int32 // of the server, the first is 1
	sequence uint64
}

func (p place) isZero() bool { return p == place{} }

// compare orders places: lives follow one another, and in one the sequence
// counts.
func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.life, q.life), cmp.Compare(p.sequence, q.sequence))
}

func (p place) String() string {
	return fmt.Sprintf("life %d, sequence %d", p.life, p.sequence)
}

// lives numbers the epochs of the server as they are first seen. Any goroutine
// may use it.
//
// The numbers follow the lives, because Run publishes a message in each life
// before it ends it: an epoch is known before the next one can be.
//
// The nodes of a cluster share one log, in which no sequence occurs twice, whatever
// its epoch: there all places are of one life.
type lives struct {
	shared  bool // a cluster's
	mu      sync.Mutex
	numbers map[string]int32
}

// read returns the place of a cursor: an epoch, a dash, a sequence. ok is false
// for anything else.
func (l *lives) read(cursor string) (p place, ok bool) {
	epoch, digits, ok := strings.Cut(cursor, "-")
	sequence, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || epoch == "" {
		return place{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, known := l.numbers[epoch]
	if !known {
		if l.numbers == nil {
			l.numbers = map[string]int32{}
		}
		n = int32(len(l.numbers) + 1)
		l.numbers[strings.Clone(epoch)] = n
	}
	if l.shared {
		n = 1
	}
	return place{n, sequence}, true
}

// count is how many lives were seen.
func (l *lives) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.numbers)
}
