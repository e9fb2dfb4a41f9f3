package bench

import (
	"math"
	"testing"

	"peal/loadtest"
)

// A delivery to a subscriber of the Pusher protocol costs what one of peal.v1 does: a message is
// encoded once for all, and nothing is allocated, copied or sent twice for one of them.
func TestPusherSubscribersShareTheBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	c := tiny()
	c.Peal = with(buildPeal(t), "--app", pusherApp)
	counted := func(f fanout) []Measure {
		t.Helper()
		f.subscribers, f.load = c.Subscribers, loadtest.Load{Length: c.Length, InFlight: 1}
		v, err := c.counted(f, "delivery")(t.Context(), c.Peal)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v1, v := counted(fanout{protocol: "peal.v1", format: loadtest.JSON}), counted(fanout{dialect: pusherDialect(), path: pusherPath})
	// What is counted differs by what so short a load has few deliveries to divide by.
	for unit, within := range map[string]float64{"allocs/delivery": 0.1, "sends/delivery": 0.1, "encodes/publication": 0, "buffers/publication": 0.1} {
		if x, y := figure(v1, unit), figure(v, unit); !(math.Abs(x-y) <= within) {
			t.Errorf("%v %s over peal.v1, %v over the Pusher protocol", x, unit, y)
		}
	}
}

// Each side of the table must be able to run: that of Centrifugo needs its modules.
func TestPusherSidesAreMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	c := tiny()
	c.Peal = buildPeal(t)
	c.Many = c.Subscribers
	for _, e := range c.PusherExperiments(c.Peal) {
		if e.Key == "pusher-centrifugo" { // which speaks a protocol of its own
			e.B = nil
		}
		a, b, err := e.pair(t.Context(), false)
		if err != nil || e.B != nil && len(b) != len(a) {
			t.Errorf("%s: %v, %v and %v", e.Key, err, a, b)
			continue
		}
		if e.Key != "pusher-idle-v1" && e.Key != "pusher-idle-ws" && a[0] <= 0 {
			t.Errorf("%s: %v deliveries per CPU-second", e.Key, a[0])
		}
	}
}
