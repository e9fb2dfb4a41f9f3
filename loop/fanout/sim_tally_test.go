package fanout_test

import (
	"fmt"
)

// tally is what schedules met.
type tally struct {
	seeds, messages, gaps, changes, skips, fell, lost int

	moved, stayed int                                                           // members handed over, and hand-overs that were given up
	met           struct{ change, drop, write, resubscribe, expire, close int } // a flight
}

func (t *tally) add(o tally) {
	t.seeds++
	t.messages += o.messages
	t.gaps += o.gaps
	t.changes += o.changes
	t.skips += o.skips
	t.fell += o.fell
	t.lost += o.lost
	t.moved += o.moved
	t.stayed += o.stayed
	t.met.change += o.met.change
	t.met.drop += o.met.drop
	t.met.write += o.met.write
	t.met.resubscribe += o.met.resubscribe
	t.met.expire += o.met.expire
	t.met.close += o.met.close
}

// little reports whether something was never met that is to be proven.
func (t *tally) little() bool {
	return t.messages < 1000 || t.gaps == 0 || t.changes == 0 || t.skips == 0 || t.fell == 0 || t.lost == 0
}

// late reports whether each command has met bytes on their way.
func (t *tally) late() bool {
	m := &t.met
	return m.change > 0 && m.drop > 0 && m.write > 0 && m.resubscribe > 0 && m.expire > 0 && m.close > 0
}

func (t *tally) String() string {
	return fmt.Sprintf("%d messages checked, %d gaps, all real; %d subscriptions changed, %d times the newest alone, %d closed for being slow; %d losses; %d members handed over, %d hand-overs given up",
		t.messages, t.gaps, t.changes, t.skips, t.fell, t.lost, t.moved, t.stayed)
}
