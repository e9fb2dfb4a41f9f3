package httpapi

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"

	"peal/loop"
	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/sse"
	"peal/server/wsproto"
)

// sseHead opens an event stream. It has no Content-Length and is not chunked,
// on purpose: the stream ends with the connection (RFC 9112 §6.3, item 8), so
// all clients, those of HTTP/1.0 too, get the same bytes and can share them.
// X-Accel-Buffering has nginx pass them on as they come.
const sseHead = "HTTP/1.1 200 OK\r\n" +
	"Content-Type: text/event-stream\r\n" +
	"Cache-Control: no-store\r\n" +
	"X-Accel-Buffering: no\r\n" +
	"Connection: close\r\n" +
	varyHead

func (f *Front) appendSSEHead(dst []byte) []byte {
	dst = append(dst, sseHead...)
	dst = append(dst, f.deps.Origins.head(f.origin)...)
	return append(dst, "\r\n"...)
}

// serveSSE turns the connection into an event stream.
func (f *Front) serveSSE(c *loop.Call, _ *routed) {
	sub, err := f.subscription(loop.SSERaw, loop.SSERaw, loop.SSEJSON)
	if err == nil {
		err = f.haveRoom()
	}
	switch {
	case err == errDisconnected:
		f.counts.refuse(errDisconnected)
		f.reply(c, 204, "", noStore, nil) // for good, says the HTML standard, 9.2.3
	case err != nil && err != errChannelFull && err != errPresenceFull:
		f.refuse(c, asError(err), "")
	case string(f.head.Method) == "HEAD":
		c.Out = f.appendSSEHead(c.Out)
		c.Verdict = loop.ReplyClose
	case c.Draining || err != nil:
		// EventSource gives up for good at any status but 200.
		why := errDraining
		if err != nil {
			why = asError(err)
		}
		f.counts.refuse(why)
		c.Out = f.appendSSEHead(c.Out)
		c.Out = sse.AppendEnd(c.Out, sse.MinRetry+rand.N(sse.MaxRetry-sse.MinRetry))
		c.Verdict = loop.ReplyClose
	default:
		c.Out = f.appendSSEHead(c.Out)
		c.Verdict, c.Sub = loop.Stream, sub
		f.arrive(c.Session, f.by, sub) // its first name is refused to none
		c.Work += f.cost(sub)
	}
}

// servePoll parks the request.
func (f *Front) servePoll(c *loop.Call, _ *routed) {
	if c.Draining {
		f.refuse(c, errDraining, "")
		return
	}
	sub, err := f.subscription(loop.PollJSON, loop.PollRaw, loop.PollJSON)
	if err == nil {
		err = f.haveRoom()
	}
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	s := f.shape()
	sub.HeadOnly, sub.Origin = s.headOnly, f.origin
	// The answer, written later, has no words for the keep-alive of HTTP/1.0.
	c.Verdict, c.Sub, c.Close = loop.Park, sub, s.close || s.keepAlive
	f.arrive(c.Session, f.by, sub) // its first name is refused to none
	c.Work += f.cost(sub)
}

// serveWebSocket makes the connection a WebSocket. What is wrong with the
// handshake itself is refused over HTTP; what is wrong with the wish comes as a
// close frame behind the 101, for browsers hide HTTP refusals from scripts.
func (f *Front) serveWebSocket(c *loop.Call, _ *routed) {
	up := f.upgrade()
	if err := up.Check(); err != nil {
		f.refuseHandshake(c, err)
		return
	}
	protocol := frame.ChooseProtocol(up.Protocols, wsproto.Protocols())
	c.Out = frame.AppendSwitching(c.Out, up.Key, protocol)
	sub, err := f.subscribeWebSocket(protocol)
	if err == nil && c.Draining {
		err = errDraining
	}
	if err != nil {
		e := asError(err)
		f.counts.refuse(e)
		f.counts.closes.Add(e.closeCode())
		c.Out = wsproto.AppendClose(c.Out, e.closeCode(), e.Code+": "+e.Message)
		c.Verdict = loop.ReplyClose
		return
	}
	c.Verdict, c.Sub = loop.Stream, sub
	f.arrive(c.Session, f.by, sub) // its first name is refused to none
	if g := f.guests[c.Session]; g != nil {
		g.ByURL = true
	}
	c.Work += f.cost(sub)
}

// upgrade gathers what a handshake is judged by.
func (f *Front) upgrade() frame.Upgrade {
	up := frame.Upgrade{
		Method:    f.head.Method,
		HTTP11:    f.head.HTTP11,
		Key:       f.joined("Sec-WebSocket-Key"),
		Version:   f.joined("Sec-WebSocket-Version"),
		Protocols: f.joined("Sec-WebSocket-Protocol"),
	}
	if f.head.Upgrade { // lists and case were seen to by Head.Check
		up.Upgrade, up.Connection = websocketToken, upgradeToken
	}
	return up
}

var websocketToken, upgradeToken = []byte("websocket"), []byte("upgrade")

// joined returns the value of a header, of several lines as one list.
func (f *Front) joined(key string) []byte {
	values := f.header.PeekAll(key)
	if len(values) == 1 {
		return values[0]
	}
	return bytes.Join(values, []byte(", "))
}

func (f *Front) refuseHandshake(c *loop.Call, err error) {
	switch frame.StatusCode(err) {
	case 426:
		line := "Connection: Upgrade\r\nUpgrade: websocket\r\n"
		if errors.Is(err, frame.ErrVersion) {
			line += "Sec-WebSocket-Version: 13\r\n" // RFC 6455 §4.4
		}
		f.refuse(c, errUpgradeRequired, line)
	default:
		f.refuse(c, errHandshake, "")
	}
}

func (f *Front) subscribeWebSocket(protocol string) (*loop.Subscription, error) {
	p, err := f.query()
	if err == nil { // without a channel a client of peal.v1 is on none: there a proxy's parameters do no harm
		err = f.stray(subscribeParameters, protocol == wsproto.V1)
	}
	if err != nil {
		return nil, err
	}
	json, ok := wsproto.ParseFormat(protocol, string(p.format))
	if !ok {
		return nil, errFormat
	}
	named := len(f.picked) > 0
	encoding := loop.WSRaw
	if json {
		encoding = loop.WSJSON
	}
	commands := protocol == wsproto.V1
	if commands && !named {
		p.presence = false // it will say what it wants
	}
	sub, err := f.subscribe(&p, encoding)
	if err != nil {
		return nil, err
	}
	sub.IgnoreGap, sub.Commands = p.ignoreGap, commands
	switch {
	case commands && !named:
		sub.Channels, f.picked = nil, f.picked[:0]
		return sub, nil
	case !commands && len(f.picked) == 1:
		sub.PublishTo = f.picked[0].text()
	}
	return sub, f.haveRoom()
}

// subscription reads what an SSE or poll request asks for. standard is the
// encoding of a request without a format parameter.
func (f *Front) subscription(standard, raw, json ring.Encoding) (*loop.Subscription, error) {
	p, err := f.query()
	if err == nil {
		err = f.stray(subscribeParameters, false)
	}
	if err != nil {
		return nil, err
	}
	encoding := standard
	switch string(p.format) {
	case "":
	case "raw":
		encoding = raw
	case "json":
		encoding = json
	default:
		return nil, errFormat
	}
	return f.subscribe(&p, encoding)
}

// subscribe makes the subscription to the picked channels.
func (f *Front) subscribe(p *params, encoding ring.Encoding) (*loop.Subscription, error) {
	from, sequence, last, err := f.start(p)
	if err != nil {
		return nil, err
	}
	timeout, err := f.deps.pollTimeout(p.timeout)
	if err != nil {
		return nil, err
	}
	channels := f.channels()
	if err := f.introduce(p); err != nil {
		return nil, err
	}
	if p.presence {
		if channels, err = f.watch(f.by, encoding); err != nil {
			return nil, err
		}
	}
	return &loop.Subscription{
		Channels: channels,
		Encoding: encoding,
		From:     from,
		Sequence: sequence,
		Known:    p.known && from == loop.FromCursor,
		Last:     last,
		Timeout:  timeout,
	}, nil
}

// Message implements loop.Front: what a raw WebSocket client sends is published
// as it is, on the channel of its connection; a peal.v1 client sends commands.
func (f *Front) Message(c loop.Client, binary bool, payload []byte) (code uint16, reason string) {
	if c.Commands() {
		f.command(c, binary, payload)
		return 0, ""
	}
	channel := strings.TrimPrefix(c.PublishTo(), log.PresencePrefix) // beside its one channel it may have that one's presence
	if channel == "" {
		return wsproto.CloseForbidden, "this connection has several channels: publish over HTTP, or connect to one channel"
	}
	err := f.mayPublish(channel)
	if err == nil {
		err = fits(f.ruleOf(channel), channel, len(payload))
	}
	if err == nil {
		err = deliverable(payload, binary, f.deps.WireLimit)
	}
	if err != nil {
		return f.refuseMessage(asError(err))
	}
	e := &log.Entry{Channel: channel, Data: bytes.Clone(payload), Binary: binary}
	if err := f.deps.Log.Append([]*log.Entry{e}, ignoreLoss); err != nil {
		return f.refuseMessage(appendRefusal(err))
	}
	f.counts.accept(overWebSocket, 1)
	return 0, ""
}

// refuseMessage counts the refusal and says it as a close.
func (f *Front) refuseMessage(e *Error) (code uint16, reason string) {
	f.counts.refuse(e)
	return e.closeCode(), e.Message
}

// ignoreLoss: a raw WebSocket has no word for a message that was accepted and
// then lost; the engine logs and counts it.
func ignoreLoss(error) {}
