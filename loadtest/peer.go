package loadtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"peal/loadtest/dialect"
)

// This file is where the load test meets another server's dialect: connections of the
// epoll kind, and publishers.

// dialectSchemes are those of targets that name a dialect.
func dialectSchemes() (all []string) {
	for _, name := range dialect.Names() {
		d, _ := dialect.Named(name) // they are all good
		if d.Transport != string(SSE) {
			all = append(all, name+"+ws://")
		}
		if d.Transport != string(WebSocket) {
			all = append(all, name+"+http://")
		}
	}
	return all
}

// named takes a scheme apart, like pusher+wss.
func (t *Target) named(scheme string) (secured bool, err error) {
	name, base, _ := strings.Cut(scheme, "+")
	switch base {
	case "ws", "wss":
		t.Transport, t.Path = WebSocket, "/"
	case "http", "https":
		t.Transport, t.Path = SSE, "/"
	}
	t.Dialect, err = dialect.Named(name)
	if err == nil && t.Transport == "" {
		err = fmt.Errorf("%s has no scheme %s", name, scheme)
	}
	return strings.HasSuffix(base, "s") && base != "ws", err
}

// braces are of placeholders, which url escapes.
var braces = strings.NewReplacer("%7B", "{", "%7D", "}")

// speak reads what a target says to its dialect, given its own path.
func (t *Target) speak(own string, query url.Values) error {
	d := t.Dialect
	if query.Has("secret") {
		return errors.New("give the secret with --secret: targets stand in reports")
	}
	if d.Transport != "" && d.Transport != string(t.Transport) {
		return fmt.Errorf("its dialect %s is for transport %s", d.Name, d.Transport)
	}
	path, defaults, _ := strings.Cut(d.Path, "?")
	if path != "" && (own == "" || own == "/") {
		t.Path = path
	}
	for _, name := range d.Named {
		value := query.Get(name)
		query.Del(name)
		if before, _, ok := strings.Cut(path, "{"+name+"}"); ok { // it can end the path, too
			prefix, end, found := strings.Cut(strings.TrimSuffix(own, "/"), before)
			if value == "" && found {
				value, _ = url.PathUnescape(end) // of an escaped path
			}
			t.Path = prefix + path
		}
		if value == "" {
			return fmt.Errorf("must have %s in its query, like %s+ws://HOST?channel=bench&%s=…", name, d.Name, strings.Join(d.Named, "=…&"))
		}
		t.Data = t.Data.With(name, value)
	}
	values, err := url.ParseQuery(defaults)
	for name := range values {
		if !query.Has(name) {
			query[name] = values[name]
		}
	}
	t.Protocol = cmp.Or(d.Protocol, t.Protocol)
	_, fault := d.Subscriber(t.Data, "", "")
	return errors.Join(err, fault)
}

// values are what the placeholders of connection i stand for.
func (k *epollKind) values(c *leanConn, i int) *dialect.Values {
	v := k.spec.Data.Values(k.spec.First+i, k.spec.channelName(i))
	v.Cursor = c.cursor
	return &v
}

// approach takes the steps of a connection's opening until one waits for a message, or
// the connection has subscribed.
func (k *epollKind) approach(c *leanConn, i int) error {
	if c.state != leanConfirm {
		c.state, c.asked = leanConfirm, Now()
	}
	frames := appendSteps(nil, k.peer, &c.step, k.values(c, i))
	if int(c.step) == len(k.peer.Steps) {
		c.state = leanStream
		defer k.subscribed(c) // its handshake ends with the sending
	}
	if len(frames) == 0 {
		return nil
	}
	return c.send(frames)
}

// appendSteps appends the frames of the steps that wait for nothing, as masked frames.
func appendSteps(dst []byte, p *dialect.Peer, step *uint8, v *dialect.Values) []byte {
	for ; int(*step) < len(p.Steps) && p.Steps[*step].Expect == nil; *step++ {
		dst = appendMasked(dst, p.Opcode(), p.Steps[*step].Send.Append(nil, v))
	}
	return dst
}

// takePeer handles a frame of another server, or the data of its event.
func (k *epollKind) takePeer(c *leanConn, i int, frame []byte, now int64, came form) error {
	for more := true; more; {
		var message []byte
		if message, frame, more = k.peer.Next(frame); len(message) == 0 && (more || c.state != leanStream) {
			continue
		}
		if k.spec.Resume && k.peer.Resumes() {
			gap := false
			if c.cursor, gap = k.peer.Advance(c.cursor, message); gap {
				k.sink.gaps++
			}
		}
		found := k.peer.Payloads(message)
		strange := found[:0]
		for _, payload := range found {
			if !k.sink.deliveredLocked(c.sub, payload, now) {
				strange = append(strange, payload)
			}
		}
		if c.state == leanStream && len(strange) < len(found) {
			for _, payload := range strange {
				k.sink.strangeLocked(payload, came)
			}
			continue
		}
		is := k.peer.Judge(message, int(c.step), k.values(c, i))
		switch {
		case is.Rejected:
			return byServer("the server reports an error: %.200s", message)
		case is.Expected:
			c.step++
			if err := k.approach(c, i); err != nil {
				return err
			}
		case is.Reply != nil:
			if err := c.send(appendMasked(nil, k.peer.Opcode(), is.Reply.Append(nil, k.values(c, i)))); err != nil {
				return err
			}
		case is.Known:
		case c.state == leanStream: // of another, or spoilt
			for _, payload := range strange {
				k.sink.strangeLocked(payload, came)
			}
		case k.unexpected == nil:
			k.unexpected = append([]byte{}, message[:min(len(message), 200)]...)
		}
	}
	return nil
}

// pollPeer counts the messages of another server's answer to a long poll, which is at the start
// of response, and returns what the next poll names.
func (k *epollKind) pollPeer(c *leanConn, i int, a answer, response []byte, now int64) (cursor []byte, err error) {
	if a.status/100 != 2 && a.status != 304 {
		return nil, byServer("poll: status %d: %.200s", a.status, a.body)
	}
	if len(a.body) > 0 { // else the time was up
		if err := k.takePeer(c, i, a.body, now, octets); err != nil {
			return nil, err
		}
	}
	cursor = k.peer.NextCursor(a.body, func(name string) []byte { return headerField(response, name) })
	if cursor == nil {
		cursor = c.cursor
	}
	return cursor, nil
}

// headerField is a field of the first response in b that is not an interim one; nil: it has none.
func headerField(b []byte, name string) []byte {
	interim := false
	for line := range bytes.SplitSeq(b, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte("HTTP/1.")) && len(line) > 9 {
			interim = line[9] == '1'
		}
		if len(line) == 0 && !interim {
			break
		}
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && is(key, name) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

// awaited says what a connection in leanConfirm waits for.
func (k *epollKind) awaited(c *leanConn) string {
	if k.peer == nil || int(c.step) >= len(k.peer.Steps) {
		return ""
	}
	text := fmt.Sprintf(": nothing came that matches --expect %q", k.peer.Steps[c.step].Expect.Source)
	if k.unexpected != nil {
		text += fmt.Sprintf("; the first message that did not was %q", k.unexpected)
	}
	return text
}

// lookEvery is how often connections whose server has not confirmed them are looked for.
const lookEvery = 50 * time.Millisecond

// confirmLate gives up the connections whose server has not confirmed them in time, and
// returns the milliseconds until it looks again; −1: never. The sink's lock is held.
func (k *epollKind) confirmLate(now int64) (timeout int) {
	if k.peer == nil || k.spec.Confirm == 0 || k.opening == 0 {
		return -1
	}
	if now >= k.lookAt {
		k.lookAt = now + int64(lookEvery)
		for i := range k.conns {
			if c := &k.conns[i]; c.state == leanConfirm && now-c.asked > int64(k.spec.Confirm) {
				k.fail(c, i, fmt.Errorf("confirming took longer than %v: ended %s", k.spec.Confirm, k.waitsFor(c, len(c.partial) > 0)))
			}
		}
	}
	return untilMs(k.lookAt, now)
}

// speakDue sends the text of --ping-every on the connections that are due, gone round in
// one interval, and returns the milliseconds until the next is. The sink's lock is held.
func (k *epollKind) speakDue(now int64) (timeout int) {
	if k.peer == nil || k.peer.Every == 0 || len(k.conns) == 0 {
		return -1
	}
	each := max(int64(k.peer.Every)/int64(len(k.conns)), 1)
	for k.turnAt = max(k.turnAt, now-int64(k.peer.Every)); k.turnAt <= now; k.turnAt += each {
		i := k.turns % len(k.conns)
		k.turns++
		c := &k.conns[i]
		if c.state != leanStream || c.stalled {
			continue
		}
		if err := c.send(appendMasked(nil, k.peer.Opcode(), k.peer.Beat.Append(nil, k.values(c, i)))); err != nil {
			k.fail(c, i, err)
		}
	}
	return max(untilMs(k.turnAt, now), 20) // several at a time
}

// compose makes publications of the dialect's templates, to path. p has the other fields.
func (t *Target) compose(p *PublishTarget, path string, channel func(stream int) string) error {
	d := t.Dialect
	peer, err := d.Publisher(t.Data, path, p.Header)
	if err != nil {
		return err
	}
	values := make([]dialect.Values, max(p.Streams, 1))
	for stream := range values {
		values[stream] = t.Data.Values(stream, channel(stream))
	}
	p.Path = func(stream int) string { return peer.Path.Text(&values[stream]) }
	if p.Header = t.Data.Expand(p.Header, &values[0]); p.WebSocket && t.Protocol != "" {
		p.Header += "Sec-WebSocket-Protocol: " + t.Protocol + "\r\n"
	}
	p.Compose = func(dst []byte, stream int, payload []byte) []byte {
		v := &values[stream]
		v.Message = payload
		if p.WebSocket {
			return appendMasked(dst, peer.Opcode(), peer.Message(nil, v))
		}
		method, path, header, body := peer.Request(v)
		return AppendRequest(dst, method, path, p.Host, header, body)
	}
	p.Accepts = peer.Accepts
	if d.PublishSteps == nil && d.Ping == nil {
		return nil
	}
	p.Converse = func(stream int) func([]byte) ([]byte, bool, error) {
		peer, _ := d.Publisher(t.Data, path, "") // its own: Compose is another goroutine's
		v, step := t.Data.Values(stream, channel(stream)), uint8(0)
		return func(frame []byte) (frames []byte, ready bool, err error) {
			for more := frame != nil; more; {
				var message []byte
				message, frame, more = peer.Next(frame)
				switch is := peer.Judge(message, int(step), &v); {
				case is.Rejected:
					return nil, false, fmt.Errorf("publishing: the server reports an error: %.200s", message)
				case is.Expected:
					step++
				case is.Reply != nil:
					frames = appendMasked(frames, peer.Opcode(), is.Reply.Append(nil, &v))
				}
			}
			frames = appendSteps(frames, peer, &step, &v)
			return frames, int(step) == len(peer.Steps), nil
		}
	}
	return nil
}
