package fanout_test

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkVisitsOfOwn is BenchmarkOwnBesideShared without sockets: nanoseconds of processor time that the
// fan takes for one send of all that is in flight, where each member has a channel of its own
// beside the shared ones (own), and where all have the same (same).
func BenchmarkVisitsOfOwn(b *testing.B) {
	for _, shared := range []int{1, 20} {
		for _, inFlight := range []int{16, 256} {
			for _, own := range []bool{true, false} {
				b.Run(fmt.Sprintf("shared=%d/inflight=%d/own=%t", shared, inFlight, own), func(b *testing.B) {
					const members = 5000
					s := newScene(b, 128, names(shared)...)
					for slot := range members {
						name := "a"
						if own {
							name = strconv.Itoa(100_000 + slot)
						}
						set := append(slices.Clone(names(shared)), "own-"+name)
						slices.Sort(set)
						s.subscribe(false, set...)
					}
					s.publish(inFlight)
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					sends, spent := s.fan.Stats().Sends, time.Duration(0)
					for b.Loop() {
						began := threadTime()
						s.publish(inFlight)
						spent += threadTime() - began
					}
					b.ReportMetric(float64(spent)/float64(s.fan.Stats().Sends-sends), "cpu-ns/send")
				})
			}
		}
	}
}
