package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// tableKinds fill the server's tables.
var tableKinds = []Kind{
	{"idempotency", "batches of 1,000 messages to 8 channels each, with a key for each", idempotency},
	{"bans", "requests that keep 1,000 invented clients away for a day each", bans},
	{"presence", "one peal.v1 connection that names itself anew for each subscription", presence},
	{"channels", "batches of 1,000 messages, each to a channel that nobody has used, 200,000 in all", channels},
}

// fresh numbers whatever must not be repeated, in all clients.
var fresh atomic.Uint64

// batches posts what body makes, again and again.
func (c *client) batches(ctx context.Context, path string, rest time.Duration, body func() []byte) error {
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	for ctx.Err() == nil {
		if _, err := w.ask("POST", path, asJSON, body()); err != nil {
			return err
		}
		pause(ctx, rest)
	}
	return nil
}

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

func idempotency(ctx context.Context, c *client) error {
	list, _ := json.Marshal(names(fmt.Sprintf("keys-%d-", c.number), 8)) // strings
	return c.batches(ctx, "/publish/batch", c.PublishPause, func() []byte {
		return batch(func(dst []byte, _ int) []byte {
			return fmt.Appendf(dst, `{"channel":%s,"data":"x","idempotency_key":"hostile-%d"}`, list, fresh.Add(1))
		})
	})
}

// manyChannels is how many channels the kind channels uses. A server remembers
// more of them (history-forgotten-bytes), and beyond that its bound is documented.
const manyChannels = 200_000

func channels(ctx context.Context, c *client) error {
	return c.batches(ctx, "/publish/batch", c.PublishPause, func() []byte {
		if fresh.Load() >= manyChannels {
			<-ctx.Done()
		}
		return batch(func(dst []byte, _ int) []byte {
			return fmt.Appendf(dst, `{"channel":"unused-%d","data":"x"}`, fresh.Add(1))
		})
	})
}

func bans(ctx context.Context, c *client) error {
	return c.batches(ctx, "/disconnect", c.Pause, func() []byte {
		clients := make([]string, 1000)
		for i := range clients {
			clients[i] = fmt.Sprintf("nobody-%d", fresh.Add(1))
		}
		list, _ := json.Marshal(clients) // strings
		return fmt.Appendf(nil, `{"client":%s,"for":86400}`, list)
	})
}

// presence names a new client, with as much info as there may be, for a channel
// that others share, and leaves it: it stays a member for the grace period.
func presence(ctx context.Context, c *client) error {
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	if err := w.upgrade("/ws", "peal.v1"); err != nil {
		return err
	}
	w.drain()
	info := strings.Repeat("i", 1024)
	for ctx.Err() == nil {
		var frames []byte
		n := 0
		for ; len(frames) < readBytes; n += 2 {
			channel := fmt.Sprintf("members-%d", fresh.Add(1)%64)
			frames = appendFrame(frames, opText, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":%q,"client":"nobody-%d","info":%q}`, channel, fresh.Add(1), info))
			frames = appendFrame(frames, opText, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":%q}`, channel))
		}
		if err := w.send(frames); err != nil {
			return err
		}
		c.requests.Add(uint64(n))
		pause(ctx, c.Pause)
	}
	return nil
}
