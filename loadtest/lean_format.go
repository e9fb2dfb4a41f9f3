package loadtest

import (
	"bytes"
	"fmt"
)

// take counts a message of a WebSocket or an event stream.
func (k *epollKind) take(c *leanConn, message []byte, now int64) {
	if k.spec.Format == JSON {
		head, data, ok := bytes.Cut(message, dataField)
		switch {
		case ok:
			message = data // a stamp needs no unescaping
			if k.spec.Resume {
				c.keepCursor(head)
			}
		case bytes.HasPrefix(message, gapFrame):
			k.sink.gaps++
			return
		case k.spec.Protocol != "":
			return
		}
	}
	k.sink.takeLocked(c.sub, message, now)
}

// takePeer handles a message of a peer's WebSocket, a line at a time.
func (k *epollKind) takePeer(c *leanConn, i int, message []byte, now int64) error {
	for line := range bytes.SplitSeq(message, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		d := k.peer.Decode(line)
		if r, ok := k.peer.(resumer); ok && k.spec.Resume {
			c.cursor = r.Advance(c.cursor, line)
		}
		switch {
		case d.Error != "":
			return fmt.Errorf("the server reports an error: %.200s", d.Error)
		case d.Greeting && c.state == leanConfirm:
			if err := sendFrames(c.fd, k.subscription(c, i)); err != nil {
				return err
			}
		case d.Subscribed && c.state == leanConfirm:
			c.state = leanStream
			k.subscribed(c)
			for _, data := range d.Missed {
				k.sink.takeLocked(c.sub, data, now)
			}
			if d.Gap {
				k.sink.gaps++
			}
		case d.Data != nil:
			k.sink.takeLocked(c.sub, d.Data, now)
		}
		if d.Reply != "" {
			if err := sendFrames(c.fd, []string{d.Reply}); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	dataField   = []byte(`"data":"`)
	cursorField = []byte(`"cursor":"`)
	gapFrame    = []byte(`{"gap":`)
	gapField    = []byte(`,"gap":[`) // of a poll's answer, before its messages
)

// keepCursor keeps the cursor that an object has before its data. Event streams
// have it in their id too.
func (c *leanConn) keepCursor(head []byte) {
	if _, rest, ok := bytes.Cut(head, cursorField); ok {
		if end := bytes.IndexByte(rest, '"'); end > 0 {
			c.cursor = append(c.cursor[:0], rest[:end]...)
		}
	}
}

// pollMessages counts the messages of an answer and returns its cursor, which
// is the answer's memory.
func (k *epollKind) pollMessages(c *leanConn, a answer, now int64) (cursor []byte, err error) {
	if k.spec.Format == Raw {
		switch {
		case a.status == 200:
			k.sink.takeLocked(c.sub, a.body, now)
		case a.status != 204: // the time was up
			return nil, fmt.Errorf("poll: status %d: %.200s", a.status, a.body)
		}
		if a.gap {
			k.sink.gaps++
		}
		if len(a.cursor) == 0 {
			return nil, unreadable("poll: no Peal-Cursor with %.200q", a.body)
		}
		return a.cursor, nil
	}
	if a.status != 200 {
		return nil, fmt.Errorf("poll: status %d: %.200s", a.status, a.body)
	}
	_, rest, ok := bytes.Cut(a.body, cursorField)
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return nil, unreadable("poll: no cursor in %.200q", a.body)
	}
	cursor, rest = rest[:end], rest[end+1:]
	if bytes.HasPrefix(rest, gapField) {
		k.sink.gaps++
	}
	for {
		var found bool
		if _, rest, found = bytes.Cut(rest, dataField); !found {
			return cursor, nil
		}
		k.sink.takeLocked(c.sub, rest, now)
	}
}
