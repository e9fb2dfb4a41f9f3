package loadtest

import (
	"bytes"
	"io"
	"strconv"
	"time"
)

// This file reads event streams, as the HTML standard has them (§9.2.6): lines that
// end with CR, LF or both, a byte order mark before the first, fields with and
// without a space behind the colon, events that end with an empty line.

// streams judges the head of an event stream.
func (c *leanConn) streams(h *head) error {
	media, _, _ := bytes.Cut(h.contentType, []byte(";"))
	switch {
	case h.status != 200:
		return byServer("event stream refused: status %d", h.status)
	case !is(bytes.TrimSpace(media), "text/event-stream"):
		return unreadable("content type %q instead of text/event-stream (HTML §9.2.2)", h.contentType)
	}
	if c.chunked = h.chunked; !c.chunked && h.length >= 0 {
		c.sized, c.left = true, h.length
	}
	if c.sized && c.left == 0 {
		return errNoMore
	}
	return nil
}

// errNoMore means that the response that an event stream is has ended.
var errNoMore = byServer("the response ended, which was the event stream")

// stream handles the next piece of an event stream and returns its length.
func (k *epollKind) stream(c *leanConn, i int, b []byte, now int64) (int, error) {
	if !c.chunked {
		if c.sized {
			b = b[:min(len(b), c.left)]
		}
		used, err := k.events(c, i, b, now)
		if err != nil {
			return 0, err
		}
		if c.sized && len(b) == c.left {
			return used, errNoMore
		}
		c.left -= used
		return used, nil
	}
	data, n, err := nextChunk(&c.left, b)
	switch {
	case err == io.EOF:
		return 0, errNoMore
	case err != nil:
		return 0, err
	}
	c.text = append(c.text, data...)
	used, err := k.events(c, i, c.text, now)
	if err != nil {
		return 0, err
	}
	if c.text = append(c.text[:0], c.text[used:]...); len(c.text) == 0 {
		c.text = nil
	}
	if len(c.text) > partialLimit {
		return 0, unreadable("an event of more than %d bytes", partialLimit)
	}
	return n, nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// events handles the whole events of text and returns their length.
func (k *epollKind) events(c *leanConn, i int, text []byte, now int64) (used int, err error) {
	if !c.begun {
		if len(text) < len(byteOrderMark) && bytes.HasPrefix(byteOrderMark, text) {
			return 0, nil
		}
		c.begun = true
		if bytes.HasPrefix(text, byteOrderMark) {
			used = len(byteOrderMark)
		}
	}
	for {
		e, n := parseEvent(text[used:], k.joined[:0])
		if n == 0 {
			return used, nil
		}
		used += n
		if len(e.joined) > 0 {
			k.joined = e.joined
		}
		if err := k.happened(c, i, &e, now); err != nil {
			return 0, err
		}
	}
}

// streamEvent is one of an event stream. Its slices are the caller's memory.
type streamEvent struct {
	name, id, data, retry []byte
	hasID, hasData        bool
	joined                []byte // data of several lines
}

// parseEvent reads one event, up to and with the empty line that ends it; n == 0: it
// is not whole yet. Data of more than one line is put together in scratch.
func parseEvent(text, scratch []byte) (e streamEvent, n int) {
	for {
		line, used := nextLine(text[n:])
		if used == 0 {
			return e, 0
		}
		n += used
		if len(line) == 0 {
			return e, n
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "data":
			switch {
			case !e.hasData:
				e.data, e.hasData = value, true
			case e.joined == nil:
				e.joined = append(append(append(scratch, e.data...), '\n'), value...)
				e.data = e.joined
			default:
				e.joined = append(append(e.joined, '\n'), value...)
				e.data = e.joined
			}
		case "event":
			e.name = value
		case "retry":
			e.retry = value
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				e.id, e.hasID = value, true
			}
		}
	}
}

// nextLine returns the first line of text without its end, and its length with it;
// 0: it is not whole. A CR at the very end of text ends a line, too: if LF follows, it
// is an empty line more, of no meaning where events end.
func nextLine(text []byte) (line []byte, n int) {
	end := bytes.IndexByte(text, '\n')
	line = text
	if end >= 0 {
		line = text[:end]
	}
	if cr := bytes.IndexByte(line, '\r'); cr >= 0 {
		n = cr + 1
		if n < len(text) && text[n] == '\n' {
			n++
		}
		return text[:cr], n
	}
	if end < 0 {
		return nil, 0
	}
	return line, end + 1
}

// Names of Peal's events that are no messages.
const (
	gapEvent   = "gap"
	pealEvents = "peal."
)

// milliseconds is the time that a server wants to pass before the next connection; 0 if
// text is none.
func milliseconds(text []byte) time.Duration {
	n, _ := strconv.ParseUint(string(text), 10, 31) // 0 with an error
	return time.Duration(n) * time.Millisecond
}

// closeRetry is the time at the end of the reason of Peal's closes, as in
// "draining: …; retry in 2731 ms"; 0 without one.
func closeRetry(reason []byte) time.Duration {
	_, hint, _ := bytes.Cut(reason, []byte("; retry in "))
	if text, found := bytes.CutSuffix(hint, []byte(" ms")); found {
		return milliseconds(text)
	}
	return 0
}

// comeBackIn keeps what the server wants instead of Backoff.First; 0: nothing.
func (c *leanConn) comeBackIn(b *Backoff, retry time.Duration) {
	if b == nil || retry == 0 {
		return
	}
	if c.wire == nil {
		c.wire = &wire{}
	}
	c.wire.retry = retry
}

// happened handles one event.
func (k *epollKind) happened(c *leanConn, i int, e *streamEvent, now int64) error {
	if e.hasID && k.spec.Resume {
		c.cursor = append(c.cursor[:0], e.id...)
	}
	c.comeBackIn(k.spec.Backoff, milliseconds(e.retry))
	switch {
	case k.peer != nil && e.hasData:
		return k.takePeer(c, i, e.data, now, text)
	case string(e.name) == gapEvent:
		k.sink.gaps++
	case e.hasData && !bytes.HasPrefix(e.name, []byte(pealEvents)):
		k.take(c, e.data, now, text)
	}
	return nil
}
