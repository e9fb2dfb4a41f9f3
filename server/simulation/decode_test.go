package simulation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// decoder is the far end of one connection: it makes items of bytes. The
// decoders share no code with the server.
type decoder interface {
	// next reads what b begins with. n == 0 means that it is not whole yet.
	next(b []byte) (it item, n int, err error)
}

// publicationJSON is the object of a publication; pointers tell what was there.
type publicationJSON struct {
	Channel *string `json:"channel"`
	Cursor  *string `json:"cursor"`
	Time    *int64  `json:"time"`
	Event   string  `json:"event"`
	Data    *string `json:"data"`
	Base64  []byte  `json:"data_base64"`
	Gap     []wireGap
}

func (p *publicationJSON) message() (wireMessage, error) {
	if p.Channel == nil || p.Cursor == nil || p.Time == nil || (p.Data == nil) == (p.Base64 == nil) {
		return wireMessage{}, fmt.Errorf("not a publication: %+v", *p)
	}
	m := wireMessage{channel: *p.Channel, cursor: *p.Cursor, event: p.Event, data: p.Base64}
	if p.Data != nil {
		m.data = []byte(*p.Data)
	}
	return m, nil
}

// readHead takes a response head with that status line.
func readHead(b []byte, status string) (it item, n int, err error) {
	n = bytes.Index(b, []byte("\r\n\r\n")) + 4
	if n == 3 {
		return item{}, 0, nil
	}
	if !strings.HasPrefix(string(b), "HTTP/1.1 "+status+" ") {
		return item{}, 0, fmt.Errorf("the answer is not %s: %q", status, b)
	}
	_, session, _ := strings.Cut(string(b[:n]), "\r\nPeal-Session: ")
	session, _, _ = strings.Cut(session, "\r\n")
	return item{kind: itemHead, session: session}, n, nil
}

// wsDecoder reads a 101 and unfragmented, unmasked frames (RFC 6455 §5.2).
type wsDecoder struct {
	json    bool
	replies bool // peal.v1
	opened  bool

	deflated bool // compression was agreed to

	push func(payload []byte) (item, error) // of the Pusher protocol
}

func (d *wsDecoder) next(b []byte) (it item, n int, err error) {
	if !d.opened {
		it, n, err := readHead(b, "101")
		d.opened = n > 0
		d.deflated = strings.Contains(string(b[:n]), extension)
		return it, n, err
	}
	if len(b) < 2 {
		return item{}, 0, nil
	}
	length, header := int(b[1]), 2
	switch {
	case b[1]&0x80 != 0:
		return item{}, 0, fmt.Errorf("a masked frame: %x", b[:2])
	case b[0]&0xF0 != 0x80 && !(d.deflated && (b[0] == 0xC1 || b[0] == 0xC2)):
		return item{}, 0, fmt.Errorf("not a whole message: %x", b[:2])
	case length >= 126:
		header = map[int]int{126: 4, 127: 10}[length]
		if len(b) < header {
			return item{}, 0, nil
		}
		length = 0
		for _, v := range b[2:header] {
			length = length<<8 | int(v)
		}
	}
	if len(b) < header+length {
		return item{}, 0, nil
	}
	payload := b[header : header+length]
	if b[0]&0x40 != 0 {
		if payload, err = inflate(append(bytes.Clone(payload), flushed...)); err != nil {
			return item{}, 0, err
		}
	}
	it, err = d.frame(b[0]&0x0F, payload)
	return it, header + length, err
}

func (d *wsDecoder) frame(opcode byte, payload []byte) (item, error) {
	switch opcode {
	case 1, 2:
		if d.push != nil {
			return d.push(payload)
		}
		if d.replies {
			if it, ok := replyItem(payload); ok {
				return it, nil
			}
		}
		if !d.json {
			return item{kind: itemMessage, message: wireMessage{data: bytes.Clone(payload)}}, nil
		}
		return jsonItem(payload)
	case 8:
		if len(payload) < 2 {
			return item{}, fmt.Errorf("a close frame without a code")
		}
		return item{kind: itemClose, code: uint16(payload[0])<<8 | uint16(payload[1])}, nil
	case opPing:
		return item{kind: itemPing, cursor: string(payload)}, nil
	case opPong:
		return item{kind: itemPong, cursor: string(payload)}, nil
	}
	return item{}, fmt.Errorf("opcode %d", opcode)
}

func jsonItem(b []byte) (item, error) {
	var p publicationJSON
	if err := json.Unmarshal(b, &p); err != nil {
		return item{}, fmt.Errorf("%w: %q", err, b)
	}
	if len(p.Gap) > 0 {
		return item{kind: itemGap, gaps: p.Gap}, nil
	}
	m, err := p.message()
	return item{kind: itemMessage, message: m}, err
}

// sseDecoder reads a head and an event stream as the HTML standard has it
// (§9.2.6), line by line.
type sseDecoder struct {
	json   bool
	opened bool

	lastID string
	id     string
	event  string
	data   []string
}

func (d *sseDecoder) next(b []byte) (it item, n int, err error) {
	if !d.opened {
		it, n, err := readHead(b, "200")
		d.opened = n > 0
		return it, n, err
	}
	end := bytes.IndexAny(b, "\r\n")
	if end < 0 || b[end] == '\r' && end+1 == len(b) {
		return item{}, 0, nil
	}
	line := string(b[:end])
	n = end + 1
	if b[end] == '\r' && b[n] == '\n' {
		n++
	}
	if line == "" {
		it, err = d.dispatch()
		return it, n, err
	}
	d.field(line)
	return item{}, n, nil
}

func (d *sseDecoder) field(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "event":
		d.event = value
	case "data":
		d.data = append(d.data, value)
	case "id":
		d.id = value
	}
}

func (d *sseDecoder) dispatch() (it item, err error) {
	moved := d.id != d.lastID
	d.lastID = d.id
	data, event := []byte(strings.Join(d.data, "\n")), d.event
	if len(d.data) == 0 {
		d.event = ""
		if !moved {
			return item{}, nil
		}
		return item{kind: itemCursor, cursor: d.lastID}, nil
	}
	d.data, d.event = nil, ""
	switch {
	case event == "peal.cursor":
		var p struct{ Cursor, Session string }
		if err := json.Unmarshal(data, &p); err != nil || p.Cursor != d.lastID {
			return item{}, fmt.Errorf("position %s, want %s: %w", data, d.lastID, err)
		}
		if !moved {
			return item{session: p.Session}, nil
		}
		return item{kind: itemCursor, cursor: d.lastID, session: p.Session}, nil
	case event == "gap":
		var g wireGap
		err = json.Unmarshal(data, &g)
		return item{kind: itemGap, gaps: []wireGap{g}}, err
	case d.json:
		it, err = jsonItem(data)
		if err == nil && it.message.cursor != d.lastID {
			err = fmt.Errorf("id %s, but the object says %s", d.lastID, it.message.cursor)
		}
		return it, err
	}
	return item{kind: itemMessage, message: wireMessage{cursor: d.lastID, event: event, data: data, rewritten: true}}, nil
}
