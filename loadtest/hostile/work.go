package hostile

import (
	"context"
	"encoding/json"
	"fmt"
)

// ArchivePrefix begins the names of the channels that last and earliest ask for.
// Whoever starts these kinds fills them first.
const ArchivePrefix = "archive-"

// workKinds buy processor time of the loops.
var workKinds = []Kind{
	{"last", "polls and peal.v1 subscriptions with last=1000 on many channels with history", last},
	{"earliest", "polls with cursor=earliest on many channels with history", earliest},
	{"commands", "peal.v1 subscribe and unsubscribe, as many as fit into one read", commands},
	{"foreign-cursors", "peal.v1 subscribe to many channels with a cursor of another life, and unsubscribe", foreignCursors},
	{"bad-json", "peal.v1 messages that are not JSON, as many as fit into one read", badJSON},
	{"pings", "WebSocket pings, as many as fit into one read", pings},
	{"chunked", "a chunked request body, one byte in each chunk and packet", chunked},
	{"heartbeats", "nothing: the connections beside it are many and silent", nothing},
	{"room", "bursts of small messages to a channel that many connections have beside one of their own", room},
}

func last(ctx context.Context, c *client) error {
	channels := names(ArchivePrefix, c.Channels)
	if c.turn%2 == 0 {
		return c.repeat(ctx, "/poll?"+query(channels)+"&last=1000&timeout=1")
	}
	list, _ := json.Marshal(channels) // strings
	frames := appendFrame(nil, opText, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":%s,"last":1000}`, list))
	frames = appendFrame(frames, opText, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":%s}`, list))
	return c.flood(ctx, "/ws", "peal.v1", frames, 2)
}

func earliest(ctx context.Context, c *client) error {
	return c.repeat(ctx, "/poll?"+query(names(ArchivePrefix, max(c.Channels-1, 1)))+"&cursor=earliest&timeout=1")
}

// repeat asks for path again and again on one connection.
func (c *client) repeat(ctx context.Context, path string) error {
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	for ctx.Err() == nil {
		if _, err := w.ask("GET", path, "", nil); err != nil {
			return err
		}
		if c.Pause > 0 {
			pause(ctx, c.Pause)
		}
	}
	return nil
}

// flood writes frames on a WebSocket, a read full at a time, and drops what comes.
func (c *client) flood(ctx context.Context, path, protocol string, frames []byte, per int) error {
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	if err := w.upgrade(path, protocol); err != nil {
		return err
	}
	w.drain()
	all, n := filled(frames, per)
	for ctx.Err() == nil {
		if err := w.send(all); err != nil {
			return err
		}
		c.requests.Add(uint64(n))
		if c.Pause > 0 {
			pause(ctx, c.Pause)
		}
	}
	return nil
}

func commands(ctx context.Context, c *client) error {
	frames := appendFrame(nil, opText, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":"flood-%d"}`, c.number))
	frames = appendFrame(frames, opText, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":"flood-%d"}`, c.number))
	return c.flood(ctx, "/ws", "peal.v1", frames, 2)
}

func foreignCursors(ctx context.Context, c *client) error {
	list, _ := json.Marshal(names(fmt.Sprintf("foreign-%d-", c.number), c.Channels)) // strings
	frames := appendFrame(nil, opText, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":%s,"cursor":"of-another-life"}`, list))
	frames = appendFrame(frames, opText, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":%s}`, list))
	return c.flood(ctx, "/ws", "peal.v1", frames, 2)
}

func badJSON(ctx context.Context, c *client) error {
	return c.flood(ctx, "/ws", "peal.v1", appendFrame(nil, opText, "hello"), 1)
}

func pings(ctx context.Context, c *client) error {
	return c.flood(ctx, fmt.Sprintf("/ws?channel=pings-%d", c.number), "", appendFrame(nil, opPing, ""), 1)
}

// chunkedBytes is the body of one request of the kind chunked. On the wire it is six
// times as much: below twice the default limit of a message, where Peal gives up.
const chunkedBytes = 20_000

func chunked(ctx context.Context, c *client) error {
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	for ctx.Err() == nil {
		head := fmt.Sprintf("POST /publish?channel=chunked-%d HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n", c.number, c.Addr)
		if err := w.send([]byte(head)); err != nil {
			return err
		}
		for range chunkedBytes {
			if err := w.send([]byte("1\r\nx\r\n")); err != nil { // a packet of its own: Go sets TCP_NODELAY
				return err
			}
		}
		if err := w.send([]byte("0\r\n\r\n")); err != nil {
			return err
		}
		if _, err := w.response(); err != nil {
			return err
		}
	}
	return nil
}

func nothing(ctx context.Context, _ *client) error {
	<-ctx.Done()
	return nil
}

// RoomChannel is where the kind room publishes.
const RoomChannel = "room"

// roomBytes is the size of each of its messages.
const roomBytes = 400

// room publishes one burst, and no more: what it costs is the server's.
func room(ctx context.Context, c *client) error {
	w, err := c.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer w.hangUp()
	body := make([]byte, roomBytes)
	for i := range body {
		body[i] = 'a' + byte(i%26)
	}
	var burst []byte
	for range c.Messages {
		burst = w.appendRequest(burst, "POST", "/publish?channel="+RoomChannel, "", body)
	}
	if err := w.send(burst); err != nil {
		return err
	}
	for range c.Messages {
		if _, err := w.response(); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}
