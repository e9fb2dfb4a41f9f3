package bench

import (
	"context"
	"fmt"

	"peal/loadtest"
)

// fanoutMacro publishes to subscribers of one channel, inFlight messages at a
// time, on one loop. size 0 is that of all the others.
func (c *Config) fanoutMacro(t loadtest.Transport, subscribers, inFlight, size int) Macro {
	name := "Fanout"
	if t != loadtest.WebSocket {
		name += fmt.Sprintf("/transport=%s", t)
	}
	name += fmt.Sprintf("/subscribers=%d/inflight=%d", subscribers, inFlight)
	if size > 0 {
		name += fmt.Sprintf("/size=%d", size)
	}
	return c.countedMacro(name, fanout{loops: 1, transport: t, subscribers: subscribers,
		load: loadtest.Load{Length: c.Length, InFlight: inFlight, Size: size}})
}

// countedMacro measures a fan-out: CPU time and latency from outside, and what
// the server counts.
func (c *Config) countedMacro(name string, f fanout) Macro {
	return Macro{Name: name, Run: func(ctx context.Context, l Launcher) (v []Measure, err error) {
		err = withServer(ctx, l, f.loops, func(s *Server) error {
			few := f
			few.subscribers, few.load.Length = 1, f.load.Length/2
			_, alone, err := c.counted(ctx, s, few)
			if err != nil {
				return fmt.Errorf("with one subscriber: %w", err)
			}
			r, all, err := c.counted(ctx, s, f)
			if err != nil {
				return err
			}
			v = append(outside(r, "delivery"), fanoutFigures(&alone, &all)...)
			// Several in flight leave from a strip, whose memory is used again; a poll
			// that comes back late has an answer of its own.
			if f.load.InFlight == 1 && f.transport != loadtest.Poll {
				v = append(v, all.perPublication("buffers/publication", "peal_delivery_buffers_total")...)
			}
			if f.transport == loadtest.WebSocket { // others carry cursors, which get longer
				v = append(v, all.per("B/delivery", "peal_delivery_bytes_total", "peal_deliveries_total")...)
			}
			return nil
		})
		return v, err
	}}
}

// counted runs f on s and returns what s counted meanwhile, too.
func (c *Config) counted(ctx context.Context, s *Server, f fanout) (r loadtest.Result, n counted, err error) {
	m := meter{metrics: c.Metrics, server: s}
	f.before = func(*Server) error { return m.begin(ctx) }
	f.after = func(*Server) (err error) {
		n, err = m.end(ctx)
		return err
	}
	r, err = f.on(ctx, s)
	n.published, n.delivered = float64(r.Published), float64(r.Delivered)
	return r, n, err
}

// fanoutFigures are what a delivery and what a publication cost, of the same
// load with one subscriber and with all.
//
// A server allocates for each publication (its entry in the history, its
// encoding) and, if something is wrong, for each delivery. With one subscriber
// and with a thousand the sum of both is known for each publication, and these
// are two equations for two unknowns. So a delivery that allocates nothing
// comes out as 0 and not as a thousandth of a publication, and one that
// allocates once as 1. Deliveries are those that the subscribers counted.
func fanoutFigures(alone, all *counted) []Measure {
	v := all.per("sends/delivery", "peal_send_calls_total", "peal_deliveries_total")
	if v == nil { // a build that counts only what the fan-out asks for
		v = all.per("sends/delivery", "peal_delivery_sends_total", "peal_deliveries_total")
	}
	v = append(v, all.perPublication("encodes/publication", "peal_encodings_total")...)
	if !alone.hasHeap || !all.hasHeap || all.delivered/all.published <= alone.delivered/alone.published {
		return v
	}
	objects, objectsEach := solve(alone, all, func(h heap) float64 { return h.objects })
	bytes, bytesEach := solve(alone, all, func(h heap) float64 { return h.bytes })
	return append(v,
		Measure{"allocs/delivery", rounded(objectsEach, 2)},
		Measure{"alloc-B/delivery", rounded(bytesEach, 1)},
		Measure{"allocs/publication", rounded(objects, 1)},
		Measure{"alloc-B/publication", rounded(bytes, 0)},
	)
}

// solve finds what a publication costs by itself and what each of its
// deliveries does.
func solve(alone, all *counted, of func(heap) float64) (publication, delivery float64) {
	y1, y2 := of(alone.heap)/alone.published, of(all.heap)/all.published
	x1, x2 := alone.delivered/alone.published, all.delivered/all.published
	delivery = (y2 - y1) / (x2 - x1)
	return y1 - delivery*x1, delivery
}
