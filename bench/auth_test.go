package bench

import (
	"math"
	"testing"

	"peal/loadtest"
)

// A delivery costs the same with tokens: nothing is checked for it. What is counted
// differs only by what a load as short as this one has few deliveries to divide by.
func TestDeliveriesCostTheSameWithTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two servers")
	}
	var a Auth
	c := tiny()
	c.Peal = buildPeal(t)
	if err := a.Prepare(t.Context(), c.Peal.Args[0], t.TempDir()); err != nil {
		t.Fatal(err)
	}
	counted := func(u users) []Measure {
		t.Helper()
		l, err := a.server(c.Peal, u)
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.counted(fanout{subscribers: c.Subscribers, load: loadtest.Load{Length: c.Length, InFlight: 1}}, "delivery")(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	open, token := counted(users{}), counted(users{"ES256", 0, c.Subscribers})
	for unit, within := range map[string]float64{"allocs/delivery": 0.1, "sends/delivery": 0.1, "encodes/publication": 0, "B/delivery": 0.1} {
		if x, y := figure(open, unit), figure(token, unit); !(math.Abs(x-y) <= within) {
			t.Errorf("%v %s without tokens, %v with", x, unit, y)
		}
	}
	if x, y := figure(open, "syscalls/delivery"), figure(token, "syscalls/delivery"); WhyNoSyscalls() == "" && !(math.Abs(x-y) <= 0.2) {
		t.Errorf("%v system calls for a delivery without tokens, %v with", x, y)
	}
}
