package loop

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Took is how long something kept a loop: by the clock, which other programs of the machine
// delay, and the processor time.
type Took struct{ Wall, CPU time.Duration }

func took(f func()) Took {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := func() time.Duration {
		var now unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) // cannot fail on Linux
		return time.Duration(now.Nano())
	}
	began, before := time.Now(), cpu()
	f()
	return Took{time.Since(began), cpu() - before}
}

// TimeSteps does all steps of a walk over one loop, and returns how long each kept it.
func (g *Group) TimeSteps(loop int, w *Walk) (steps []Took) {
	for slot, done := uint32(0), false; !done; {
		g.on(loop, func(l *Loop) {
			var r step
			steps = append(steps, took(func() { r = l.walk(w, slot, MostSeen) }))
			slot, done = r.next, r.done
		})
	}
	return steps
}

// TimeStats is how long StatsOf keeps a loop.
func (g *Group) TimeStats(loop int) (t Took) {
	g.on(loop, func(l *Loop) { t = took(func() { g.StatsOf(loop) }) })
	return t
}

// TimeTalkers is how long it takes a loop to name those that send most.
func (g *Group) TimeTalkers(loop int) (all Took) {
	g.on(loop, func(l *Loop) {
		t := &talk{}
		t.Most = mostTalkers
		for slot := range l.used {
			t.Add(voice{l.conn(slot).session, slot}, int(slot%1000), nil)
		}
		all = took(func() { l.talkers(t, mostTalkers) })
	})
	return all
}
