package presence_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"peal/server/presence"
)

// A channel of thousands, so that its order has many chunks.
func TestPagesOfAThousandsAreInOrder(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	r := newRig(presence.Config{Grace: time.Millisecond})
	there := map[string]bool{}
	for step := range 40_000 {
		client, joins := fmt.Sprint(random.IntN(9_000)), 8
		if step > 20_000 {
			client, joins = fmt.Sprint(random.IntN(3_000)), 1 // then whole chunks go
		}
		if random.IntN(10) < joins {
			if !there[client] {
				r.Join("a", client, "")
				there[client] = true
			}
		} else if there[client] {
			r.Leave("a", client)
			delete(there, client)
			r.pass(time.Millisecond)
		}
		if step%4_000 > 0 {
			continue
		}
		var want []string
		for client := range there {
			want = append(want, client)
		}
		slices.Sort(want)
		var got []string
		for _, m := range r.list("a", 1+random.IntN(500)) {
			got = append(got, m.Client)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("step %d, seed %d: %d members, want %d", step, seed, len(got), len(want))
		}
		from := fmt.Sprint(random.IntN(9_000)) // also one who is not there
		at, found := slices.BinarySearch(want, from)
		if found {
			at++
		}
		p := r.List("a", from, 1)
		if at == len(want) && len(p.Members) > 0 || at < len(want) && (len(p.Members) == 0 || p.Members[0].Client != want[at]) {
			t.Fatalf("step %d, seed %d: after %s: %+v", step, seed, from, p.Members)
		}
	}
}
