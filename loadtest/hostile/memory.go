package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// memoryKinds make the server keep bytes.
var memoryKinds = []Kind{
	{"unfinished", "many WebSocket frames of which nearly all came, and then a byte each 15 s", unfinished},
	{"unread", "many WebSockets that read nothing of a channel with large messages", unread},
	{"late-replies", "publications, pipelined, whose responses nobody reads", lateReplies},
	{"listings", "listings of 5.9 MB that nobody reads", listings},
	{"encodings", "messages of control characters that are kept in every encoding", encodings},
	{"batch-expansion", "batches of 1 MB whose messages go to 128 channels each", batchExpansion},
}

// The bytes of a frame that is not finished. On 2,052 connections that send most of one
// they are 128 MiB: for each of two loops the default of --input-bytes.
const (
	unfinishedFrame = 65_500
	unfinishedSent  = 65_450
	unfinishedEvery = 15 * time.Second
)

// unfinished fills the input to the brim: the last connections send less and less, and so
// take what is left where a large one does not fit any more.
func unfinished(ctx context.Context, c *client) error {
	large := append(appendHead(nil, opText, unfinishedFrame), make([]byte, unfinishedSent)...)
	opened := 0
	open := func() *wire {
		start := large[:sentOf(opened, c.share())]
		opened++
		w, err := c.dial(ctx, 0)
		if err != nil {
			return nil
		}
		if err := w.upgrade(fmt.Sprintf("/ws?channel=unfinished-%d", c.number), ""); err == nil {
			if err = w.send(start); err == nil {
				c.requests.Add(1)
				return w
			}
		}
		w.hangUp()
		return nil
	}
	return c.keepMany(ctx, open, func(w *wire) error { return w.send([]byte{'x'}) }, unfinishedEvery)
}

// sentOf is how many bytes connection i of n sends at first.
func sentOf(i, n int) int {
	switch part := 16 * i / max(n, 1); {
	case part < 12:
		return unfinishedSent
	case part < 15:
		return 16_000 >> (2 * (part - 12))
	}
	return 100
}

// keepMany opens this client's share of connections and calls touch for each
// every so often; one that ended is opened again then.
func (c *client) keepMany(ctx context.Context, open func() *wire, touch func(*wire) error, every time.Duration) error {
	all := make([]*wire, c.share())
	defer func() {
		for _, w := range all {
			if w != nil {
				w.hangUp()
			}
		}
	}()
	for ctx.Err() == nil {
		for i, w := range all {
			if w != nil && touch(w) != nil {
				c.closed.Add(1)
				w.hangUp()
				w = nil
			}
			if w == nil && ctx.Err() == nil {
				all[i] = open()
			}
		}
		pause(ctx, every)
	}
	return nil
}

// smallReceive is the receive buffer of those that do not read.
const smallReceive = 4096

// largeBytes is a message below the default limit.
const largeBytes = 60_000

func unread(ctx context.Context, c *client) error {
	open := func() *wire {
		w, err := c.dial(ctx, smallReceive)
		if err != nil {
			return nil
		}
		if err := w.upgrade("/ws?channel=unread", ""); err != nil {
			w.hangUp()
			return nil
		}
		return w
	}
	if c.turn == 0 {
		return c.publish(ctx, "/publish?channel=unread", "", []byte(strings.Repeat("x", largeBytes)), max(50*time.Millisecond, c.PublishPause))
	}
	return c.keepMany(ctx, open, func(*wire) error { return nil }, time.Second)
}

// publish posts body again and again.
func (c *client) publish(ctx context.Context, path, header string, body []byte, every time.Duration) error {
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	for ctx.Err() == nil {
		if _, err := w.ask("POST", path, header, body); err != nil {
			return err
		}
		pause(ctx, every)
	}
	return nil
}

func lateReplies(ctx context.Context, c *client) error {
	w, err := c.dial(ctx, smallReceive)
	if err != nil {
		return err
	}
	defer w.hangUp()
	all, n := filled(w.appendRequest(nil, "POST", fmt.Sprintf("/publish?channel=late-%d", c.number), "", []byte("x")), 1)
	for ctx.Err() == nil {
		if err := w.send(all); err != nil {
			return err
		}
		c.requests.Add(uint64(n))
		pause(ctx, max(c.Pause, c.PublishPause/20)) // each is small
	}
	return nil
}

// ListingChannel is what the kind listings asks for. Whoever starts it fills the
// channel's history with control characters first: each becomes six bytes.
const ListingChannel = "listing"

func listings(ctx context.Context, c *client) error {
	open := func() *wire {
		w, err := c.dial(ctx, smallReceive)
		if err != nil {
			return nil
		}
		if err := w.send(w.appendRequest(nil, "GET", "/channels/"+ListingChannel+"/history?last=1000&limit=1000", "", nil)); err != nil {
			w.hangUp()
			return nil
		}
		c.requests.Add(1)
		return w
	}
	return c.keepMany(ctx, open, func(*wire) error { return nil }, time.Second)
}

// ControlCharacters is text that grows six times in JSON.
func ControlCharacters(n int) []byte { return []byte(strings.Repeat("\x01", n)) }

// Of each of its channels the kind encodings fills the history, as it is by default.
const encodingMessages = 17

// encodings goes from channel to channel: it subscribes in every encoding, reads
// all, and publishes.
func encodings(ctx context.Context, c *client) error {
	body := ControlCharacters(largeBytes)
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	for n := 0; ctx.Err() == nil; n++ {
		if err := c.oneInAll(ctx, w, fmt.Sprintf("encodings-%d-%d", c.number, n), body); err != nil {
			return err
		}
		pause(ctx, c.PublishPause)
	}
	return nil
}

func (c *client) oneInAll(ctx context.Context, publisher *wire, channel string, body []byte) error {
	var readers []*wire
	defer func() {
		for _, r := range readers {
			r.hangUp()
		}
	}()
	for _, path := range []string{"/ws", "/ws?format=json", "/sse", "/sse?format=json", "/poll"} {
		r, err := c.dial(ctx, 0)
		if err != nil {
			return err
		}
		readers = append(readers, r)
		path = withChannel(path, channel)
		if strings.HasPrefix(path, "/ws") {
			err = r.upgrade(path, "")
		} else {
			err = r.send(r.appendRequest(nil, "GET", path, "", nil))
		}
		if err != nil {
			return err
		}
		r.drain()
	}
	for range encodingMessages {
		if _, err := publisher.ask("POST", withChannel("/publish", channel), "", body); err != nil {
			return err
		}
		pause(ctx, time.Millisecond) // the readers are to have it live
	}
	return nil
}

func withChannel(path, channel string) string {
	if strings.Contains(path, "?") {
		return path + "&channel=" + channel
	}
	return path + "?channel=" + channel
}

// batchNumber makes each batch's channels differ from those before.
var batchNumber atomic.Uint64

// batchExpansion sends one batch a second: what a megabyte costs is the server's.
func batchExpansion(ctx context.Context, c *client) error {
	list, _ := json.Marshal(names(fmt.Sprintf("expansion-%d-", batchNumber.Add(1)), min(c.Channels+1, 128))) // strings
	message := fmt.Sprintf(`{"channel":%s,"data":%q}`, list, strings.Repeat("x", largeBytes))
	body := `{"messages":[` + strings.Repeat(message+",", 15) + message + `]}`
	return c.publish(ctx, "/publish/batch", asJSON, []byte(body), max(c.PublishPause, time.Second))
}
