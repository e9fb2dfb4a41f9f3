package loop

import (
	"testing"
	"time"

	"peal/loop/fanout"
)

// clock is a kernel that has the time and nothing else.
type clock struct {
	Kernel
	now, every, next time.Duration
	armed            int // calls of Tick
	random           func(n int64) int64
}

func (k *clock) Now() time.Duration       { return k.now }
func (k *clock) Random(n int64) int64     { return k.random(n) }
func (k *clock) Yield()                   {}
func (k *clock) Tick(every time.Duration) { k.every, k.next, k.armed = every, k.now+every, k.armed+1 }

// timed is a loop of which nothing works but its timers, at 0.25 s of tick 100. Its slots are free.
func timed(slots int) (*Loop, *clock) {
	k := &clock{now: 100*tick + 250*time.Millisecond}
	l := &Loop{kernel: k, wheel: fanout.NewWheel(0), deadlines: fanout.NewWheel(0)}
	for range slots>>slabBits + 1 {
		l.slabs = append(l.slabs, new(connSlab))
	}
	l.startTicking()
	return l, k
}

// pass lets the kernel tick until the time until, late by that much each time, and reports to each how many timers are
// armed after each callback of the loop.
func pass(l *Loop, k *clock, until, late time.Duration, each func(left int)) {
	for k.every > 0 && k.next+late <= until {
		k.now = k.next + late
		k.next += k.every
		l.turnDue = false
		l.tickOver()
		each(l.wheel.Armed())
		for l.turnDue {
			l.turnDue = false
			if l.expireDue() {
				l.scheduleTurn()
			}
			each(l.wheel.Armed())
		}
	}
	k.now = until
}

// The timers of one tick are spread over it: neither come many in one callback, nor does the last have to
// wait for the next tick.
func TestTimersOfATickAreSpreadOverIt(t *testing.T) {
	for _, n := range []int{1, portion, 100, 450, 9_000, 200_000} {
		for _, late := range []time.Duration{0, 3 * time.Millisecond} {
			l, k := timed(n)
			for slot := range n {
				l.wheel.Set(uint32(slot), 103)
			}
			left, callbacks, longest := n, 0, 0
			pass(l, k, 104*tick, late, func(now int) {
				served := left - now
				if left = now; served == 0 {
					return
				}
				callbacks++
				longest = max(longest, served)
				passed := k.now - 103*tick
				if passed < 0 {
					t.Fatalf("%d timers: %d served at %v of the tick before", n, served, passed)
				}
				// No more than have had their time, by one portion; what was served late counts as on time.
				if most := portion + n*int(passed)/int(spread) + 1; n-left > most {
					t.Fatalf("%d timers: %d served after %v, want at most %d", n, n-left, passed, most)
				}
				if least := n*int(passed-portionTime-late)/int(spread) - portion - n*int(portionTime)/int(spread); !l.turnDue && n-left < least {
					t.Fatalf("%d timers: %d served after %v, want at least %d", n, n-left, passed, least)
				}
			})
			if left != 0 {
				t.Errorf("%d timers, %v late: %d left at the end of the tick", n, late, left)
			}
			if longest > turnTimers || n <= portion && callbacks != 1 {
				t.Errorf("%d timers: %d in one callback, %d callbacks", n, longest, callbacks)
			}
			if k.every != 0 {
				t.Errorf("%d timers: the kernel ticks each %v without timers", n, k.every)
			}
		}
	}
}

// A loop whose connections have nothing due wakes once a tick, at its beginning, and arms the kernel's timer
// no more than it must.
func TestALoopTicksOnceATick(t *testing.T) {
	l, k := timed(1)
	l.wheel.Set(0, 200)
	var at []time.Duration
	pass(l, k, 150*tick, 0, func(int) { at = append(at, k.now) })
	for i, now := range at {
		if want := time.Duration(101+i) * tick; now != want {
			t.Fatalf("callback %d at %v, want %v", i, now, want)
		}
	}
	if len(at) != 50 || k.armed > 2 {
		t.Errorf("%d callbacks in 50 ticks, and the timer armed %d times", len(at), k.armed)
	}
	// Behind a callback that came late, the next comes at the beginning of its tick again.
	pass(l, k, 151*tick+400*time.Millisecond, 400*time.Millisecond, func(int) {})
	if k.next != 152*tick {
		t.Errorf("the next tick at %v, want %v", k.next, 152*tick)
	}
}

// Timers that were due while the process stood still are served at once, in turns.
func TestTimersThatAreLateAreNotSpread(t *testing.T) {
	const n = 1_000
	l, k := timed(n)
	for slot := range n {
		l.wheel.Set(uint32(slot), 103)
	}
	k.next = 104*tick + 10*time.Millisecond
	callbacks := 0
	pass(l, k, 104*tick+10*time.Millisecond, 0, func(int) { callbacks++ })
	if l.wheel.Armed() != 0 || callbacks != n/turnTimers+1 {
		t.Errorf("%d timers left after %d callbacks", l.wheel.Armed(), callbacks)
	}
}

// A heartbeat comes between 80 and 120 % of Config.Heartbeat, or a tick before or after it, wherever in their ticks
// it and the one before are sent.
func TestHeartbeatsKeepTheirTolerance(t *testing.T) {
	for h := time.Second; h < 100*time.Second; h += 250 * time.Millisecond {
		least, most := min(h*8/10, h-tick), max(h*12/10, h+tick)
		for _, random := range []func(n int64) int64{func(int64) int64 { return 0 }, func(n int64) int64 { return n - 1 }} {
			l := &Loop{kernel: &clock{random: random}}
			l.config.Heartbeat = h
			n := time.Duration(l.beat()) * tick
			if n < tick || n-tick < least-tick/2 || n+tick > most+tick/2 {
				t.Errorf("heartbeat of %v: %v, ± %v", h, n, tick)
			}
		}
	}
}
