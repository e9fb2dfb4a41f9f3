package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// ArchivePrefix begins the names of the channels that last and earliest ask for.
// The caller fills them first.
const ArchivePrefix = "archive-"

// workKinds use processor time of the loops.
var workKinds = []Kind{
	{"last", (*client).last},
	{"earliest", (*client).earliest},
	{"commands", (*client).commands},
	{"foreign-cursors", (*client).foreignCursors},
	{"bad-json", (*client).badJSON},
	{"pings", (*client).pings},
	{"chunked", (*client).chunked},
	{"heartbeats", (*client).nothing}, // the connections beside it are many and silent
	{"room", (*client).room},
}

// last asks for last=1000 on many channels with history, by polls and by peal.v1.
func (c *client) last(ctx context.Context) error {
	channels := names(ArchivePrefix, c.Channels)
	if c.turn%2 == 0 {
		return c.poll(ctx, channels, "last=1000")
	}
	return c.subscribes(ctx, channels, `,"last":1000`)
}

// earliest polls with cursor=earliest on many channels with history.
func (c *client) earliest(ctx context.Context) error {
	return c.poll(ctx, names(ArchivePrefix, max(c.Channels-1, 1)), "cursor=earliest")
}

// poll polls again and again, from the same place.
func (c *client) poll(ctx context.Context, channels []string, from string) error {
	path := "/poll?channel=" + strings.Join(channels, "&channel=") + "&" + from + "&timeout=1"
	return c.on(ctx, 0, c.Pause, nil, asks("GET", path, "", nil))
}

// commands sends peal.v1 subscribe and unsubscribe, as many as fit into one read.
func (c *client) commands(ctx context.Context) error {
	return c.subscribes(ctx, fmt.Sprintf("flood-%d", c.number), "")
}

// foreignCursors subscribes to many channels with a cursor of another life.
func (c *client) foreignCursors(ctx context.Context) error {
	return c.subscribes(ctx, names(fmt.Sprintf("foreign-%d-", c.number), c.Channels), `,"cursor":"of-another-life"`)
}

// subscribes sends peal.v1 commands that subscribe, with further members, and
// unsubscribe. channel is one name or several.
func (c *client) subscribes(ctx context.Context, channel any, members string) error {
	list, _ := json.Marshal(channel) // strings
	pair := appendFrame(nil, opText, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":%s%s}`, list, members))
	pair = appendFrame(pair, opText, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":%s}`, list))
	return c.flood(ctx, "/ws", "peal.v1", pair, 2)
}

// badJSON sends peal.v1 messages that are not JSON.
func (c *client) badJSON(ctx context.Context) error {
	return c.flood(ctx, "/ws", "peal.v1", appendFrame(nil, opText, "hello"), 1)
}

func (c *client) pings(ctx context.Context) error {
	return c.flood(ctx, fmt.Sprintf("/ws?channel=pings-%d", c.number), "", appendFrame(nil, opPing, ""), 1)
}

// flood writes frames on a WebSocket, as many at a time as fit into one read, and
// drops what comes.
func (c *client) flood(ctx context.Context, path, protocol string, some []byte, per int) error {
	return c.on(ctx, 0, c.Pause, frames(path, protocol), sends(filled(some, per)))
}

// chunkedBytes is the body of one request of the kind chunked. On the wire it is six
// times as much: below twice the default limit of a message, where Peal gives up.
const chunkedBytes = 20_000

// chunked sends request bodies with one byte in each chunk and packet.
func (c *client) chunked(ctx context.Context) error {
	return c.on(ctx, 0, 0, nil, func(w *wire) error {
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
		_, err := w.response()
		return err
	})
}

func (*client) nothing(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// RoomChannel is where the kind room publishes.
const RoomChannel = "room"

// roomBytes is the size of each of its messages.
const roomBytes = 400

// room publishes one burst of small messages to a channel that many connections
// have beside one of their own, and no more: what it costs is the server's.
func (c *client) room(ctx context.Context) error {
	return c.on(ctx, 0, 0, nil, func(w *wire) error {
		body := []byte(strings.Repeat("abcdefghijklmnopqrstuvwxyz", roomBytes/26+1)[:roomBytes])
		var burst []byte
		for range c.Messages {
			burst = c.appendRequest(burst, "POST", "/publish?channel="+RoomChannel, "", body)
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
	})
}
