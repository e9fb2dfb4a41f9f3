package loop_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"peal/loop"
)

// BenchmarkLook is how long those who look keep a loop with 100,000 connections from its work: the longest
// step of a walk, between which other work goes on, and one look at all numbers; by the clock, and without what
// other programs of the machine take (cpu). The
// connections have no sockets; the kernel describes one TCP connection for each of them that is looked at.
//
//	go test ./loop -run '^$' -bench Look -benchtime 20x
func BenchmarkLook(b *testing.B) {
	const n = 100_000
	s := crowd(b, n)
	for _, c := range []struct {
		what string
		walk loop.Walk
	}{
		{"all", loop.Walk{Names: 16}},
		{"channel_of_all", loop.Walk{Names: 16, Channel: "all"}},
		{"channel_of_one", loop.Walk{Names: 16, Channel: "own077777"}},
		{"user", loop.Walk{Names: 16, Pick: func(_ loop.Front, session uint64) bool { return session>>8%1000 == 7 }}},
		{"address", loop.Walk{Names: 16, Address: netip.MustParsePrefix("10.1.0.0/16").Contains}},
		{"behind", loop.Walk{Names: 16, Behind: true}},
	} {
		b.Run("walk="+c.what, func(b *testing.B) {
			var steps []loop.Took
			for range b.N {
				steps = append(steps, s.group.TimeSteps(0, &c.walk)...)
			}
			report(b, steps)
		})
	}
	b.Run("numbers", func(b *testing.B) {
		var looks []loop.Took
		for range b.N {
			looks = append(looks, s.group.TimeStats(0))
		}
		report(b, looks)
	})
	b.Run("talkers", func(b *testing.B) {
		var looks []loop.Took
		for range b.N {
			looks = append(looks, s.group.TimeTalkers(0))
		}
		report(b, looks)
	})
}

func report(b *testing.B, all []loop.Took) {
	b.ReportMetric(0, "ns/op") // of no use
	b.ReportMetric(float64(len(all))/float64(b.N), "steps")
	var wall, cpu []time.Duration
	for _, t := range all {
		wall, cpu = append(wall, t.Wall), append(cpu, t.CPU)
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	b.ReportMetric(micros(wall[len(wall)/2]), "µs-median")
	b.ReportMetric(micros(cpu[len(cpu)*99/100]), "µs-p99-cpu")
	b.ReportMetric(micros(cpu[len(cpu)-1]), "µs-longest-cpu")
	b.ReportMetric(micros(wall[len(wall)-1]), "µs-longest")
}

// Steps of a walk are bounded by what they look at and describe, whatever is looked for: 100,000
// connections are 98 steps without a find, and one more for each 64 that are found.
func TestWalkOfACrowdTakesBoundedSteps(t *testing.T) {
	const n = 20_000
	s := crowd(t, n)
	for _, c := range []struct {
		walk  loop.Walk
		found int
	}{
		{loop.Walk{}, n}, {loop.Walk{Channel: "all"}, n}, {loop.Walk{Channel: "own007777"}, 1}, {loop.Walk{Behind: true}, 0}, {loop.Walk{Address: netip.MustParsePrefix("10.0.1.0/24").Contains}, 256},
	} {
		c.walk.Limit = loop.MostSeen
		if steps, most := len(s.group.TimeSteps(0, &c.walk)), (n+loop.WalkLooks-1)/loop.WalkLooks+c.found/loop.WalkFinds+1; steps > most {
			t.Errorf("%+v: %d steps, at most %d are right", c.walk, steps, most)
		}
		found := map[uint64]bool{}
		for _, one := range s.all(c.walk) {
			found[one.Session] = true
		}
		if len(found) != c.found {
			t.Errorf("%+v: %d are found, want %d", c.walk, len(found), c.found)
		}
	}
}
