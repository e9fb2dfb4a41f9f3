package loop

import (
	"peal/loop/fanout"
	"peal/loop/ring"
)

// What is taken from the ring at a time. The rest is taken in the next turn.
const (
	applyBatch = 256 // messages
	applyPart  = 32  // of these between two looks at the work and the room, or
	applyBytes = 32 << 10
	applyWork  = 400 // units of work

	// dearMatchers is from when on each message is looked at by itself: what it may cost
	// because of matchers, in nanoseconds.
	dearMatchers = 1_000_000
)

// take gives the fan the next messages of the ring, and reports whether it
// stopped before the ring was empty: publishers faster than the loop must find
// the ring full, not keep the loop here. batch is memory to use.
func take(batch []*ring.Message, from *ring.Reader, fan *fanout.Fan) (kept []*ring.Message, more bool) {
	until, part := fan.Work()+applyWork, applyPart
	if fan.MatchersCost() > dearMatchers {
		part = 1
	}
	for taken := 0; fan.Room(); {
		batch = from.Next(batch[:0], part, applyBytes)
		if lost := from.Lost(); lost > fan.Lost() {
			fan.Lose(lost)
		}
		fan.Apply(behind(batch, fan.Lost()))
		taken += len(batch)
		clear(batch)
		more = from.Waiting()
		if !more || taken >= applyBatch || fan.Work() >= until {
			return batch, more
		}
	}
	return batch, from.Waiting()
}

// behind is what of batch does not lie in or before a lost part of the log: nobody can
// resume from there, and the gap covers it.
func behind(batch []*ring.Message, lost uint64) []*ring.Message {
	for len(batch) > 0 && batch[0].Sequence <= lost {
		batch = batch[1:]
	}
	return batch
}
