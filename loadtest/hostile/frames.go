package hostile

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
)

// frameKinds break RFC 6455 and RFC 7692, or use what they allow against the server.
var frameKinds = []Kind{
	{"long-frames", (*client).longFrames},
	{"empty-fragments", (*client).emptyFragments},
	{"closes", (*client).closes},
	{"unmasked", (*client).unmasked},
	{"deflate-bombs", (*client).deflateBombs},
}

// ends is a do for on: it sends b on a new WebSocket and waits for the end of the
// connection. The next do fails, and the client connects again.
func ends(path, header string, b []byte) func(*wire) error {
	return func(w *wire) error {
		if err := w.upgradeWith(path, header); err != nil {
			return err
		}
		if err := sends(b, 1)(w); err != nil {
			return err
		}
		for {
			if _, err := w.r.Discard(1); err != nil {
				return err
			}
		}
	}
}

// longFrames announces a frame of 2^63 bytes, and one of the most that 63 bits have.
func (c *client) longFrames(ctx context.Context) error {
	length := uint64(1) << 63
	if c.turn%2 == 1 {
		length--
	}
	frame := binary.BigEndian.AppendUint64([]byte{0x80 | opBinary, 0x80 | 127}, length)
	return c.on(ctx, 0, c.Pause, nil, ends("/ws?channel=long", "", append(frame, 0, 0, 0, 0, 'x')))
}

// emptyFragments begins a message and continues it with empty frames for ever.
func (c *client) emptyFragments(ctx context.Context) error {
	begin := []byte{opText, 0x80, 0, 0, 0, 0} // not final
	more, n := filled([]byte{0, 0x80, 0, 0, 0, 0}, 1)
	return c.on(ctx, 0, c.Pause, func(w *wire) error {
		if err := frames("/ws?channel=fragments", "")(w); err != nil {
			return err
		}
		return sends(begin, 1)(w)
	}, sends(more, n))
}

// closes sends close frames, and more of them behind the first.
func (c *client) closes(ctx context.Context) error {
	all, _ := filled(appendFrame(nil, opClose, "\x03\xe8bye"), 1)
	return c.on(ctx, 0, c.Pause, nil, ends("/ws?channel=closes", "", all))
}

// unmasked sends masked frames and, in the middle of a fragmented message, one without a
// mask.
func (c *client) unmasked(ctx context.Context) error {
	b := appendFrame(nil, opText, "masked")
	b = append(b, opText, 0x81, 0, 0, 0, 0, 'a') // not final
	b = append(b, 0x80, 1, 'b')                  // its end, without a mask
	return c.on(ctx, 0, c.PublishPause, nil, ends("/ws?channel=unmasked", "", b))
}

// bombParts is how many times 64 KiB a bomb has when it is inflated: 45 MiB, of less than
// 64 KiB, the default limit of a message.
const bombParts = 720

// deflateBomb is a compressed message that becomes much longer. Its parts refer to
// nothing outside, so one is compressed and repeated.
func deflateBomb() []byte {
	var part bytes.Buffer
	w, _ := flate.NewWriter(&part, flate.BestCompression) // the level exists
	_, _ = w.Write(make([]byte, 64<<10))                  // to memory
	_ = w.Flush()
	b := bytes.Repeat(part.Bytes(), bombParts)
	b = b[:len(b)-4] // without its end (RFC 7692 §7.2.1)
	head := appendHead(nil, opBinary, len(b))
	head[0] |= 0x40 // RSV1: compressed
	return append(head, b...)
}

// deflateBombs sends them, half of the clients on connections that are not let in: on
// a channel of the server's own, which is refused after the 101.
func (c *client) deflateBombs(ctx context.Context) error {
	bomb := deflateBomb()
	path := fmt.Sprintf("/ws?channel=bombs-%d", c.number)
	if c.turn%2 == 1 {
		path = "/ws?channel=%24user:bombs"
	}
	return c.on(ctx, 0, c.Pause, nil, ends(path, "Sec-WebSocket-Extensions: permessage-deflate\r\n", bomb))
}
