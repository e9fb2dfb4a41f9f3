package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	goruntime "runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/inspect"
	"peal/server/memory"
)

const (
	mostWatchers = 16          // requests for /live?every= that are under way
	leastEvery   = time.Second // between two events of one
	mostEvery    = time.Minute
	liveTop      = 10 // of each kind, by default where top is asked for
	mostLiveTop  = 50
	watchWrite   = 10 * time.Second // how long a watcher may take for an event
	watchAgain   = time.Second      // after which a watcher that was cut off comes back
)

// handleLive adds GET /live.
func handleLive(mux *http.ServeMux, s Source) {
	var watchers atomic.Int32
	c := &collector{s}
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) {
		top, every, err := parseLive(r.URL.Query())
		switch {
		case err != nil:
			refuse(w, err)
		case every == 0:
			answer(w, r, scrapeLimit, func(ctx context.Context, _ url.Values) (any, error) { return either(c.live(ctx, top)) })
		case watchers.Add(1) > mostWatchers:
			watchers.Add(-1)
			refuse(w, errWatchers)
		default:
			defer watchers.Add(-1)
			c.watch(w, r, top, every)
		}
	})
}

var errWatchers = &inspect.Error{Status: http.StatusTooManyRequests, Code: "too_many_watchers", Message: strconv.Itoa(mostWatchers) + " others watch this server already, which is the limit: request /live without every, or try again"}

func parseLive(values url.Values) (top int, every time.Duration, err error) {
	if unknown := inspect.Known(values, "top", "every"); unknown != nil {
		return 0, 0, unknown
	}
	if values.Has("top") {
		n, wrong := inspect.ParseLimit(values.Get("top"), liveTop, mostLiveTop)
		if wrong != nil {
			return 0, 0, &inspect.Error{Status: wrong.Status, Code: "bad_top", Message: "top must be a number from 1 to " + strconv.Itoa(mostLiveTop)}
		}
		top = n
	}
	if text := values.Get("every"); text != "" {
		every, err = time.ParseDuration(text)
		if err != nil || every < leastEvery || every > mostEvery {
			return 0, 0, &inspect.Error{Status: http.StatusBadRequest, Code: "bad_every", Message: "every must be a duration from 1s to 1m"}
		}
	}
	return top, every, nil
}

// watch sends an event at each interval until the client goes, takes none, or the server
// ends.
func (c *collector) watch(w http.ResponseWriter, r *http.Request, top int, every time.Duration) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(every)
	defer tick.Stop()
	var left <-chan struct{}
	if from, ok := c.source.(inspected); ok {
		left = from.Left()
	}
	_, _ = fmt.Fprintf(w, "retry: %d\n\n", watchAgain.Milliseconds())
	for {
		ctx, cancel := context.WithTimeout(r.Context(), scrapeLimit)
		v, err := c.live(ctx, top)
		cancel()
		event := []byte("event: busy\ndata: {}\n\n") // a loop does not respond: the next time it may
		if err == nil {
			body, err := json.Marshal(v)
			if err != nil {
				return
			}
			event = append(append([]byte("data: "), body...), "\n\n"...)
		}
		_ = control.SetWriteDeadline(time.Now().Add(watchWrite)) // a recorder of tests has none
		if _, err := w.Write(event); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-left:
			_ = control.SetWriteDeadline(time.Now().Add(watchWrite))
			_, _ = io.WriteString(w, "event: upgraded\ndata: {}\n\n") // the watcher comes back to the other process in any case
			return
		case <-r.Context().Done():
			return
		}
	}
}

// live asks the source for all of it; top 0 leaves Top out.
func (c *collector) live(ctx context.Context, top int) (v inspect.Live, err error) {
	s, err := c.ask(ctx)
	if err != nil {
		return v, &inspect.Error{Status: http.StatusServiceUnavailable, Code: "busy", Message: "an event loop does not respond: " + err.Error()}
	}
	v = inspect.Live{At: time.Now().UnixMilli(), Process: os.Getpid(), State: "serving", Refusals: map[string]uint64{}, Closes: map[string]uint64{}, Evicted: map[string]uint64{}, Refused: map[string]uint64{}}
	switch why := c.source.Behind(); {
	case !c.source.Ready():
		v.State = "draining"
	case s.memory != memory.Normal:
		v.State = "memory-limit: new connections are refused"
	case why != "":
		v.State = why
	}
	for i := range s.cluster.Nodes {
		if n := &s.cluster.Nodes[i]; n.Self {
			v.Node, v.Started = inspect.Node{ID: n.ID, Name: n.Name, Version: n.Version}, n.Started
		}
	}
	v.Upgrades = upgradesOf(&s.upgrades)
	l := &s.cluster.Log
	v.Log = inspect.Log{Engine: l.Engine, Epoch: l.Epoch, Oldest: l.Oldest, Head: l.Head, Failing: l.Failing}
	if l.Shared {
		v.Log.Known, v.Log.Behind = l.Known, l.Behind
	}
	v.Connections.TLS = s.tls.Connections.Open
	for _, n := range s.fronts.Publications {
		v.Counters.Publications += n
	}
	var took fanout.Latency
	v.Gaps = gapReasons(&s)
	for i := range s.loops {
		addLoop(&v, &s.loops[i])
		took.Add(&s.loops[i].Fanout.Latency)
	}
	v.Latency = latencyOf(&took)
	for code, n := range s.fronts.Refusals {
		v.Counters.Refusals += n
		if n > 0 {
			v.Refusals[code] = n
		}
	}
	occurred(v.Refused, admissionRefused(&s))
	occurred(v.Closes, closes(&s))
	occurred(v.Evicted, evictions(&s))
	v.RateLimited = s.limited
	v.Channels = inspect.Channels{Channels: s.hub.Channels, Subscribers: s.hub.Subscribers, Messages: s.hub.Messages, Members: s.presence.Members}
	v.Memory.History, v.Memory.Level = s.hub.Bytes, int(s.memory)
	v.Memory.Resident, _ = memory.Resident() // 0 where it cannot be read
	v.Memory.Heap = heapBytes()
	if from, ok := c.source.(inspected); ok {
		v.Memory.Limit = from.MemoryLimit()
		if top > 0 {
			all, err := from.Top(ctx, top)
			if err != nil {
				return v, err
			}
			v.Top = &all
		}
	}
	return v, nil
}

// addLoop adds what one loop has.
func addLoop(v *inspect.Live, l *loop.Stats) {
	v.Loops = append(v.Loops, inspect.Loop{
		Loop: l.Loop, Connections: l.Connections, Lag: l.Lag.Microseconds(), Behind: l.Behind, Busy: l.Busy.Microseconds(),
		Turns: l.Turns, Deferred: l.Deferred, Longest: l.LongestWork, Deliveries: l.Fanout.Deliveries,
	})
	n := &v.Connections
	n.All += l.Connections
	n.WebSocket += l.Transports.WebSocket
	n.SSE += l.Transports.SSE
	n.Poll += l.Transports.Poll
	n.HTTP += l.Transports.HTTP
	n.Stalled += l.Fanout.Stalled
	n.Behind += l.Fanout.Behind
	c := &v.Counters
	c.Deliveries += l.Fanout.Deliveries
	c.DeliveryBytes += l.Fanout.Bytes
	c.Sends += l.Fanout.Sends
	c.Requests += l.Requests
	c.Received += l.Received
	c.Accepted += l.Accepted
	c.Gaps += l.Fanout.Gaps + l.Foreign
	c.SocketsFull += l.Fanout.Full
	c.Heartbeats += l.Heartbeats
	c.Dead += l.Dead
	c.Slow += l.Slow
	c.Disconnected += l.Dismissed
	m := &v.Memory
	m.Encoded += l.Fanout.Encoded
	m.Held += l.Fanout.Held
	m.Waiting += l.Fanout.Waiting
	m.Input += l.InputBytes
}

// occurred copies what is not 0.
func occurred(to, from map[string]uint64) {
	for key, n := range from {
		if n > 0 {
			to[key] = n
		}
	}
}

func latencyOf(took *fanout.Latency) inspect.Latency {
	v := inspect.Latency{Counts: took.Counts[:], Sum: float64(took.Sum.Nanoseconds()) / 1000}
	for _, bound := range fanout.LatencyBounds {
		v.Bounds = append(v.Bounds, float64(bound.Nanoseconds())/1000)
	}
	return v
}

// heapBytes is the memory of live objects, and of garbage that was not collected yet.
func heapBytes() uint64 {
	sample := []goruntime.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	goruntime.Read(sample)
	if sample[0].Value.Kind() != goruntime.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
