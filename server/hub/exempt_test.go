package hub_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
)

// What remains of a gap for a session is what was dropped and was not kept from it,
// whatever was dropped and however: from a history, at once, of a channel that nobody knew.
func TestAGapIsNoGapForWhoWasLeftOut(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRig(hub.Config{Limits: room(1 + rnd.IntN(4) - 2*rnd.IntN(2)*rnd.IntN(4))})
		if rnd.IntN(2) == 0 {
			r.Join("a")
		}
		var excluded []byte // by sequence: who; 0 is nobody
		for range 60 {
			e := &log.Entry{Channel: "a", Data: []byte("x")}
			who := byte(max(0, rnd.IntN(8)-5))
			if who > 0 {
				e.Exclude = &[16]byte{who}
			}
			excluded = append(excluded, who)
			r.append(e)
			_, discarded, _ := r.Read(nil, "a", 0, all, all, all)
			for session := byte(1); session < 4; session++ {
				want := discarded
				for want > 0 && excluded[want-1] == session {
					want--
				}
				got, whole := r.Concerns("a", discarded, func(x *ring.Exclusion) bool { return x.ID == [16]byte{session} })
				if newest := discarded > 0 && excluded[discarded-1] != 0; got != want || whole == newest {
					t.Fatalf("seed %d: of the gap up to %d, %d remains for %d (the same for all: %v), want %d; left out were %v", seed, discarded, got, session, whole, want, excluded)
				}
			}
		}
	}
}

func TestRunsAreBounded(t *testing.T) {
	r := newRig(hub.Config{Limits: room(-1)})
	for i := range 3 * 65_536 {
		r.append(&log.Entry{Channel: fmt.Sprint(i), Exclude: &[16]byte{1}})
	}
	if n := r.Runs(); n > 65_536 || n < 60_000 {
		t.Errorf("%d runs are kept, want at most 65,536", n)
	}
}
