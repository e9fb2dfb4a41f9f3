package httpapi_test

import (
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"peal/server/log"
)

// turnsLog notes at each append how many turns another goroutine has had.
type turnsLog struct {
	*fakeLog
	turns atomic.Int64
	seen  []int64
}

func (l *turnsLog) Append(batch []*log.Entry, done func(error)) error {
	l.seen = append(l.seen, l.turns.Load())
	return l.fakeLog.Append(batch, done)
}

// While a worker reads and appends a large batch, a loop that has become ready does not
// wait for the end of it, even on one processor.
func TestBatchesLetLoopsHaveTheirTurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	l := &turnsLog{fakeLog: &fakeLog{}}
	h := newHarness(t).withLog(l)
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() { // ends with stop
		for ; !stop.Load(); runtime.Gosched() {
			l.turns.Add(1)
		}
		close(ended)
	}()
	resp, body := h.answer(post("/publish/batch", `{"messages":[`+strings.Repeat(`{"data":"x"},`, 999)+`{"data":"x"}]}`))
	stop.Store(true)
	<-ended
	if resp.StatusCode != 200 || len(l.seen) < 10 {
		t.Fatalf("status %d, %d appends: %.200s", resp.StatusCode, len(l.seen), body)
	}
	// Every gap, unless the race detector is on: with it, the scheduler draws lots.
	if turns := len(slices.Compact(slices.Clone(l.seen))); turns < len(l.seen)/2 {
		t.Errorf("in only %d gaps between appends, somebody else had a turn: %v", turns, l.seen)
	}
}
