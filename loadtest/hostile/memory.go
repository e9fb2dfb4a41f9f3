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
	{"unfinished", (*client).unfinished},
	{"unread", (*client).unread},
	{"late-replies", (*client).lateReplies},
	{"listings", (*client).listings},
	{"encodings", (*client).encodings},
	{"batch-expansion", (*client).batchExpansion},
}

// The bytes of a frame that is not finished. On 2,052 connections that send most of one
// they are 128 MiB: for each of two loops the default of --input-bytes.
const (
	unfinishedFrame = 65_500
	unfinishedSent  = 65_450
	unfinishedEvery = 15 * time.Second
)

// unfinished sends WebSocket frames of which nearly all came, and then a byte each
// 15 s. It fills the input to the brim: the last connections send less and less, and
// so take what is left where a large one does not fit any more.
func (c *client) unfinished(ctx context.Context) error {
	large := append(appendHead(nil, opText, unfinishedFrame), make([]byte, unfinishedSent)...)
	opened := 0
	start := func(w *wire) error {
		sent := sentOf(opened, c.share())
		opened++
		if err := w.upgrade(fmt.Sprintf("/ws?channel=unfinished-%d", c.number), ""); err != nil {
			return err
		}
		return sends(large[:sent], 1)(w)
	}
	return c.keepMany(ctx, 0, unfinishedEvery, start, func(w *wire) error { return w.send([]byte{'x'}) })
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

// keepMany opens this client's share of connections, starts each, and calls touch
// for each every so often; one that ended is opened again then. touch may be nil.
func (c *client) keepMany(ctx context.Context, received int, every time.Duration, start, touch func(*wire) error) error {
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
			if w != nil && touch != nil && touch(w) != nil {
				count(&c.met.Closed, 1)
				w.hangUp()
				all[i] = nil
			}
			if all[i] != nil || ctx.Err() != nil {
				continue
			}
			if w, err := c.dial(ctx, received); err == nil {
				if all[i] = w; start(w) != nil {
					w.hangUp()
					all[i] = nil
				}
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

// unread opens WebSockets that read nothing of a channel with large messages.
func (c *client) unread(ctx context.Context) error {
	if c.turn == 0 {
		return c.publish(ctx, "/publish?channel=unread", "", []byte(strings.Repeat("x", largeBytes)), max(50*time.Millisecond, c.PublishPause))
	}
	return c.keepUnread(ctx, func(w *wire) error { return w.upgrade("/ws?channel=unread", "") })
}

// keepUnread is keepMany for streams that are not read; with Spec.Read they are.
func (c *client) keepUnread(ctx context.Context, start func(*wire) error) error {
	if !c.Read {
		return c.keepMany(ctx, smallReceive, time.Second, start, nil)
	}
	return c.keepMany(ctx, 0, time.Second, func(w *wire) error {
		err := start(w)
		w.drain() // ends with the connection
		return err
	}, nil)
}

// publish posts body again and again.
func (c *client) publish(ctx context.Context, path, header string, body []byte, every time.Duration) error {
	return c.on(ctx, 0, every, nil, asks("POST", path, header, func() []byte { return body }))
}

// lateReplies pipelines publications and does not read the responses.
func (c *client) lateReplies(ctx context.Context) error {
	one := c.appendRequest(nil, "POST", fmt.Sprintf("/publish?channel=late-%d", c.number), "", []byte("x"))
	return c.on(ctx, smallReceive, max(c.Pause, c.PublishPause/20), nil, sends(filled(one, 1))) // each is small
}

// ListingChannel is what the kind listings asks for. The caller fills the
// channel's history with control characters first: each becomes six bytes.
const ListingChannel = "listing"

// listings asks for listings of 5.9 MB, and does not read them.
func (c *client) listings(ctx context.Context) error {
	list := c.appendRequest(nil, "GET", "/channels/"+ListingChannel+"/history?last=1000&limit=1000", "", nil)
	return c.keepMany(ctx, smallReceive, time.Second, sends(list, 1), nil)
}

// ControlCharacters is text that grows six times in JSON.
func ControlCharacters(n int) []byte { return []byte(strings.Repeat("\x01", n)) }

// Of each of its channels the kind encodings fills the history, as it is by default.
const encodingMessages = 17

// encodings goes from channel to channel: it subscribes in every encoding, reads
// all, and publishes messages of control characters, which are kept in each.
func (c *client) encodings(ctx context.Context) error {
	n, body := 0, ControlCharacters(largeBytes)
	return c.on(ctx, 0, c.PublishPause, nil, func(w *wire) error {
		n++
		return c.oneInAll(ctx, w, fmt.Sprintf("channel=encodings-%d-%d", c.number, n), body)
	})
}

func (c *client) oneInAll(ctx context.Context, publisher *wire, channel string, body []byte) error {
	var readers []*wire
	defer func() {
		for _, r := range readers {
			r.hangUp()
		}
	}()
	for _, path := range []string{"/ws?", "/ws?format=json&", "/sse?", "/sse?format=json&", "/poll?"} {
		r, err := c.dial(ctx, 0)
		if err != nil {
			return err
		}
		readers = append(readers, r)
		if strings.HasPrefix(path, "/ws") {
			err = r.upgrade(path+channel, "")
		} else {
			err = r.send(c.appendRequest(nil, "GET", path+channel, "", nil))
		}
		if err != nil {
			return err
		}
		r.drain()
	}
	for range encodingMessages {
		if err := publisher.ask("POST", "/publish?"+channel, "", body); err != nil {
			return err
		}
		pause(ctx, time.Millisecond) // the readers are to have it live
	}
	return nil
}

// batchNumber makes each batch's channels differ from those before.
var batchNumber atomic.Uint64

// batchExpansion sends one batch a second of 1 MB, whose messages go to 128 channels
// each: what a megabyte costs is the server's.
func (c *client) batchExpansion(ctx context.Context) error {
	list, _ := json.Marshal(names(fmt.Sprintf("expansion-%d-", batchNumber.Add(1)), min(c.Channels+1, 128))) // strings
	message := fmt.Sprintf(`{"channel":%s,"data":%q}`, list, strings.Repeat("x", largeBytes))
	body := `{"messages":[` + strings.Repeat(message+",", 15) + message + `]}`
	return c.publish(ctx, "/publish/batch", asJSON, []byte(body), max(c.PublishPause, time.Second))
}
