package loop

import (
	"slices"
	"sort"
	"time"
)

// birth says that the connections from session number first on were accepted in tick,
// or between it and that of the next birth.
type birth struct {
	first uint64 // Loop.sessions
	tick  uint32
}

// precision is how near two births may be: the part of their age.
const precision = 128

// born notes when the connection of that number was accepted. Numbers ascend, so a
// connection needs no time of its own.
func (l *Loop) born(number uint64) {
	b := l.life.births
	if n := len(b); n > 0 && b[n-1].tick == l.tick {
		return
	}
	if len(b) == mostBirths {
		b = thin(b, l.tick)
	}
	l.life.births = append(b, birth{number, l.tick})
}

// thin leaves births out whose neighbours are near, measured by their age: what is left
// of a year has room.
func thin(b []birth, now uint32) []birth {
	out := []birth{b[len(b)-1]}
	for i := len(b) - 2; i >= 0; i-- {
		newer := out[len(out)-1].tick
		if newer-b[i].tick >= (now-newer)/precision || i == 0 {
			out = append(out, b[i])
		}
	}
	slices.Reverse(out)
	if len(out) >= mostBirths { // hundreds of years
		out = out[len(out)/2:]
	}
	return out
}

// ageOf is how long ago the connection was accepted, in whole seconds: at most that long, and
// less by at most a second and two hundredths; negative if it is not known.
func (l *Loop) ageOf(session uint64) time.Duration {
	number := session >> 8
	b, of := l.life.births, uint16(session&0xff)
	if of != l.number {
		b = l.life.elsewhere[of]
	}
	i := sort.Search(len(b), func(i int) bool { return b[i].first > number })
	if i == 0 {
		return -1
	}
	return time.Duration(l.tick-b[i-1].tick) * tick
}
