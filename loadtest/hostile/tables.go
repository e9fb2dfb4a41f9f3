package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
)

// tableKinds fill the server's tables.
var tableKinds = []Kind{
	{"idempotency", (*client).idempotency},
	{"bans", (*client).bans},
	{"presence", (*client).presence},
	{"channels", (*client).channels},
}

// fresh numbers what must be unique, in all clients.
var fresh atomic.Uint64

// batch is the JSON of 1,000 messages.
func batch(message func(dst []byte, i int) []byte) []byte {
	b := []byte(`{"messages":[`)
	for i := range 1000 {
		if i > 0 {
			b = append(b, ',')
		}
		b = message(b, i)
	}
	return append(b, "]}"...)
}

// idempotency sends messages to 8 channels each, with a key for each.
func (c *client) idempotency(ctx context.Context) error {
	list, _ := json.Marshal(names(fmt.Sprintf("keys-%d-", c.number), 8)) // strings
	return c.on(ctx, 0, c.PublishPause, nil, asks("POST", "/publish/batch", asJSON, func() []byte {
		return batch(func(dst []byte, _ int) []byte {
			return fmt.Appendf(dst, `{"channel":%s,"data":"x","idempotency_key":"hostile-%d"}`, list, fresh.Add(1))
		})
	}))
}

// mostChannels is how many channels the kind channels uses. A server remembers
// more of them (history-forgotten-bytes), and beyond that its bound is documented.
const mostChannels = 200_000

// channels sends each message to an unused channel.
func (c *client) channels(ctx context.Context) error {
	return c.on(ctx, 0, c.PublishPause, nil, asks("POST", "/publish/batch", asJSON, func() []byte {
		if fresh.Load() >= mostChannels {
			<-ctx.Done()
		}
		return batch(func(dst []byte, _ int) []byte {
			return fmt.Appendf(dst, `{"channel":"unused-%d","data":"x"}`, fresh.Add(1))
		})
	}))
}

// bans has 1,000 invented clients kept away for a day with each request.
func (c *client) bans(ctx context.Context) error {
	return c.on(ctx, 0, c.Pause, nil, asks("POST", "/disconnect", asJSON, func() []byte {
		clients := make([]string, 1000)
		for i := range clients {
			clients[i] = fmt.Sprintf("nobody-%d", fresh.Add(1))
		}
		list, _ := json.Marshal(clients) // strings
		return fmt.Appendf(nil, `{"client":%s,"for":86400}`, list)
	}))
}

// presence names a new client, with as much info as there may be, for a channel
// that others share, and leaves it: it stays a member for the grace period.
func (c *client) presence(ctx context.Context) error {
	info := strings.Repeat("i", 1024)
	return c.on(ctx, 0, c.Pause, frames("/ws", "peal.v1"), func(w *wire) error {
		var b []byte
		n := 0
		for ; len(b) < readBytes; n += 2 {
			channel := fmt.Sprintf("members-%d", fresh.Add(1)%64)
			b = appendFrame(b, opText, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":%q,"client":"nobody-%d","info":%q}`, channel, fresh.Add(1), info))
			b = appendFrame(b, opText, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":%q}`, channel))
		}
		return sends(b, n)(w)
	})
}
