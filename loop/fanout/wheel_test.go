package fanout_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"peal/loop/fanout"
)

// wheelModel is what a wheel promises, as a map from slot to tick.
type wheelModel struct {
	t     *testing.T
	seed  uint64
	rnd   *rand.Rand
	wheel *fanout.Wheel
	due   map[uint32]uint32
	fired int
}

// set arms a timer d ticks from where the wheel stands.
func (m *wheelModel) set(slot uint32, d int32) {
	at := m.wheel.Now() + uint32(d)
	m.wheel.Set(slot, at)
	if d <= 0 {
		at = m.wheel.Now() + 1
	}
	m.due[slot] = at
}

func (m *wheelModel) clear(slot uint32) {
	m.wheel.Clear(slot)
	delete(m.due, slot)
}

// act does something to some timer, as the caller of a wheel or its fire would.
func (m *wheelModel) act() {
	slot := m.rnd.Uint32N(60)
	switch m.rnd.IntN(8) {
	case 0, 1:
		m.clear(slot)
	case 2:
		m.set(slot, m.rnd.Int32N(8)-5) // passed, or very soon
	case 3:
		m.set(slot, m.rnd.Int32N(2000)) // several times round
	case 4:
		m.set(slot, 256*m.rnd.Int32N(4)) // the list being fired
	default:
		m.set(slot, m.rnd.Int32N(300))
	}
}

func (m *wheelModel) fire(slot uint32) {
	at, armed := m.due[slot]
	if !armed {
		m.t.Fatalf("seed %d: timer %d fired at %d, but is not armed", m.seed, slot, m.wheel.Now())
	}
	if int32(m.wheel.Now()-at) < 0 {
		m.t.Fatalf("seed %d: timer %d fired at %d, due at %d", m.seed, slot, m.wheel.Now(), at)
	}
	delete(m.due, slot)
	m.fired++
	for m.rnd.IntN(3) == 0 {
		m.act()
	}
}

func (m *wheelModel) advance(by uint32) {
	now := m.wheel.Now() + by
	for before, most := m.fired, 1+m.rnd.IntN(20); m.wheel.Advance(now, most, m.fire); before = m.fired {
		if m.fired != before+most {
			m.t.Fatalf("seed %d: %d timers fired and more are due, want %d in one Advance", m.seed, m.fired-before, most)
		}
	}
	if m.wheel.Now() != now {
		m.t.Fatalf("seed %d: advanced to %d, stands at %d", m.seed, now, m.wheel.Now())
	}
	for slot, at := range m.due {
		if int32(now-at) >= 0 {
			m.t.Fatalf("seed %d: timer %d, due at %d, did not fire up to %d", m.seed, slot, at, now)
		}
	}
	if m.wheel.Armed() != len(m.due) {
		m.t.Fatalf("seed %d: %d armed, want %d", m.seed, m.wheel.Armed(), len(m.due))
	}
}

// Each timer fires exactly once, never early, and at the latest in the Advance
// that reaches its tick; also when fire sets and clears timers, after sleeps of
// several rounds, and where the ticks begin again at zero.
func TestWheelAgainstModel(t *testing.T) {
	for _, start := range []uint32{0, 10, 1000, math.MaxInt32 - 500, math.MaxUint32 - 5000} {
		t.Run(fmt.Sprintf("start=%d", start), func(t *testing.T) {
			for seed := range uint64(100) {
				m := &wheelModel{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, uint64(start))), wheel: fanout.NewWheel(start), due: map[uint32]uint32{}}
				for range 300 {
					for range m.rnd.IntN(4) {
						m.act()
					}
					switch m.rnd.IntN(10) {
					case 0:
						m.advance(m.rnd.Uint32N(1500)) // a long sleep
					case 1:
						m.advance(256)
					default:
						m.advance(m.rnd.Uint32N(4))
					}
				}
				m.rnd = rand.New(rand.NewPCG(seed, 0))
				for len(m.due) > 0 {
					m.advance(100)
					for slot := range m.due {
						m.clear(slot)
						break
					}
				}
				if m.fired < 100 {
					t.Errorf("seed %d: only %d timers fired", seed, m.fired)
				}
			}
		})
	}
}

// A wheel that advances to an earlier time, or the same, does nothing.
func TestWheelDoesNotTurnBack(t *testing.T) {
	w := fanout.NewWheel(100)
	w.Set(7, 101)
	for _, now := range []uint32{100, 99, 0} {
		w.Advance(now, math.MaxInt, func(uint32) { t.Errorf("fired at %d", now) })
	}
	if w.Now() != 100 || w.Armed() != 1 {
		t.Errorf("stands at %d with %d armed, want 100 and 1", w.Now(), w.Armed())
	}
}

// The timers of a tick fire in the order in which they were set, also where fire clears the next one, or sets timers
// for the same list; and Due counts those that wait.
func TestWheelFiresInOrder(t *testing.T) {
	w := fanout.NewWheel(0)
	for _, slot := range []uint32{5, 3, 9, 1, 7} {
		w.Set(slot, 2)
	}
	w.Set(4, 2+256) // of a later round
	w.Set(6, 2)
	w.Set(3, 100)
	w.Set(3, 2) // it is the last now
	var fired []uint32
	fire := func(slot uint32) {
		fired = append(fired, slot)
		if slot == 9 {
			w.Clear(1)
		}
		w.Set(slot, 2+256)
	}
	for _, want := range []struct{ fired, found, done int }{{0, 7, 0}, {1, 7, 1}, {2, 7, 3}, {3, 7, 5}, {4, 7, 6}, {5, 7, 7}, {5, 7, 7}} {
		w.Advance(2, min(1, want.fired), fire)
		if found, done := w.Due(); len(fired) != want.fired || found != want.found || done != want.done {
			t.Fatalf("fired %d, %d of %d done, want %+v", fired, done, found, want)
		}
	}
	if want := []uint32{5, 9, 7, 6, 3}; !slices.Equal(fired, want) {
		t.Errorf("fired %d, want %d", fired, want)
	}
	if w.Armed() != 6 {
		t.Errorf("%d armed", w.Armed())
	}
}

func TestWheelAllocatesNothing(t *testing.T) {
	w := fanout.NewWheel(0)
	fire := func(slot uint32) { w.Set(slot, w.Now()+20+slot%16) }
	for slot := range uint32(1000) {
		w.Set(slot, 1+slot%32)
	}
	step := func() { w.Advance(w.Now()+1, math.MaxInt, fire) }
	for range 300 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
}

func BenchmarkWheel(b *testing.B) {
	for _, timers := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("op=set/timers=%d", timers), func(b *testing.B) {
			w := fanout.NewWheel(0)
			b.ReportAllocs()
			for i := range b.N {
				w.Set(uint32(i%timers), w.Now()+1+uint32(i%250))
			}
		})
		b.Run(fmt.Sprintf("op=tick/timers=%d", timers), func(b *testing.B) {
			w := fanout.NewWheel(0)
			fired := 0
			fire := func(slot uint32) { fired++; w.Set(slot, w.Now()+200) }
			for slot := range timers {
				w.Set(uint32(slot), 1+uint32(slot%200))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				w.Advance(w.Now()+1, math.MaxInt, fire)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(fired, 1)), "ns/timer")
		})
	}
}
