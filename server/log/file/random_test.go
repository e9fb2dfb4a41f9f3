package file_test

import (
	"flag"
	"testing"
	"testing/synctest"

	"peal/server/log/file"
)

var seedFlag = flag.Uint64("seed", 0, "replay the run of this seed")

// TestLivesOfALog: thousands of random lives with power failures, kills, good
// stops, failing disks, directories that are moved away, and older copies put back,
// under each policy. What each promises holds, no cursor ever names two entries,
// and one resolves if and only if all up to it was recovered.
func TestLivesOfALog(t *testing.T) {
	seeds := uint64(250)
	if testing.Short() {
		seeds = 100
	}
	first := uint64(1)
	if *seedFlag != 0 {
		first, seeds = *seedFlag, 1
	}
	lost, lives, restored, kept, read, missed := 0, 0, 0, 0, 0, 0
	for seed := first; seed < first+seeds; seed++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(seed)
			for _, fault := range w.run(t) {
				t.Errorf("%s; replay: go test ./server/log/file -run LivesOfALog -seed %d", fault, seed)
			}
			lost += w.lost
			lives += len(w.lives)
			restored += w.restored
			kept += w.kept
			read += w.read
			missed += w.missed
		})
		if t.Failed() {
			return
		}
	}
	if (lost == 0 || restored == 0 || kept == 0 || read == 0 || missed == 0) && seeds > 1 {
		t.Error("nothing was ever lost, or put back, or kept of a removed segment, or read: the test meets too little")
	}
	t.Logf("%d lives, in %d of them something shown was lost, before %d a copy was put back; %d orders outlasted their segments; %d entries were read again, %d times some were missing", lives, lost, restored, kept, read, missed)
}

// The test of the test: bugs that an engine could have, each of which some seed
// must find.
func TestPlantedBugsAreCaught(t *testing.T) {
	for name, plant := range map[string]func(*world){
		"sequence reused after a lost tail": func(w *world) {
			w.plant = func(_ *world, l *file.Log) { l.GoOnInEpoch() }
		},
		// Nothing is lost by a good stop, so this one is right but for copies.
		"the epoch goes on after a good stop": func(w *world) {
			w.plant = func(w *world, l *file.Log) {
				if n := len(w.lives); n > 0 && w.lives[n-1].ended {
					l.GoOnInEpoch()
				}
			}
		},
		"numbers of refused records given again in the same epoch": func(w *world) {
			w.plant = func(_ *world, l *file.Log) { l.KeepEpoch() }
		},
		"predecessors forgotten": func(w *world) {
			w.plant = func(_ *world, l *file.Log) { l.NoPredecessors() }
		},
		"control entries removed without their state": func(w *world) { w.forgetful = true },
		"control entries removed before their state is durable": func(w *world) {
			w.fs.lyingFor = file.StateName
		},
		"shown before synced": func(w *world) { w.fs.lying = true },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 200; seed++ {
				caught := false
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(seed)
					plant(w)
					caught = len(w.run(t)) > 0
				})
				if caught {
					return
				}
			}
			t.Error("no seed of 200 found it")
		})
	}
}
