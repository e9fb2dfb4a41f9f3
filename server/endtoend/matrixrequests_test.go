package endtoend_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"peal/server/grant"
)

// matrixRequest is one way to ask for actions on a channel.
type matrixRequest struct {
	name    string
	path    string // of docs/http.md
	command string // of peal.v1, "" for none
	actions []grant.Action

	carrier carrier
	listing bool                                     // it is about all names that begin with the channel's
	only    func(who *actor, c *matrixChannel) bool  // nil: it can be asked of all
	ask     func(q *question) (code string, _ error) // an error code or a status; "": it is allowed
}

// carrier is where a request has its token or key.
type carrier int

const (
	inHeader carrier = iota
	inQuery
	inProtocol
	inCookie
)

// suits reports whether the request can be made.
func (r *matrixRequest) suits(who *actor, c *matrixChannel) bool {
	if r.carrier != inHeader && (who.kind == grant.Backend || who.fault == "key_unknown") {
		return false // keys are for the header: TestKeysElsewhereAreRefused
	}
	return r.only == nil || r.only(who, c)
}

// question is one cell of the matrix.
type question struct {
	*peal
	who     *actor
	channel string
	text    string // of a publication
	about   *matrixRequest
}

// query is the query with more parameters.
func (q *question) query(more string) string {
	text := "channel=" + url.QueryEscape(q.channel) + more
	if q.about.carrier == inQuery && q.who.proof != "" {
		text += "&token=" + q.who.proof
	}
	return text
}

// lines are the header lines with the proof.
func (q *question) lines() (lines []string) {
	switch {
	case q.who.proof == "" || q.about.carrier == inQuery || q.about.carrier == inProtocol:
	case q.about.carrier == inCookie:
		lines = append(lines, "Cookie: other=1; peal_token="+q.who.proof, "Sec-Fetch-Site: same-origin")
	default:
		lines = append(lines, bearer(q.who.proof))
	}
	return lines
}

// http asks by a request with a response that ends.
func (q *question) http(method, target, body string, more ...string) (string, error) {
	a, err := q.try(method, target, body, append(q.lines(), more...)...)
	if err != nil || a.status == 200 || a.status == 204 {
		return "", err
	}
	if method == "HEAD" {
		return strconv.Itoa(a.status), nil
	}
	return errorCode(a)
}

// errorCode is the error code of a response, whose status must fit it.
func errorCode(a answer) (string, error) {
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil || p.Error.Code == "" {
		return "", fmt.Errorf("status %d, %.200q", a.status, a.body)
	}
	if got := strconv.Itoa(a.status); got != statusOf(p.Error.Code) {
		return "", fmt.Errorf("status %d with code %s", a.status, p.Error.Code)
	}
	if a.status == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
		return "", fmt.Errorf("401 with WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
	}
	return p.Error.Code, nil
}

// batch publishes by a batch of one.
func (q *question) batch() (string, error) {
	body := fmt.Sprintf(`{"messages":[{"channel":%q,"data":%q}]}`, q.channel, q.text)
	a, err := q.try("POST", "/publish/batch", body, append(q.lines(), "Content-Type: application/json")...)
	if err != nil {
		return "", err
	}
	if a.status != 200 {
		return errorCode(a)
	}
	var results struct{ Results []problem }
	if err := json.Unmarshal(a.body, &results); err != nil || len(results.Results) != 1 {
		return "", fmt.Errorf("%.200q", a.body)
	}
	return results.Results[0].Error.Code, nil
}

// line is a connection with one request on it.
type line struct {
	conn net.Conn
	r    *bufio.Reader
}

// connect sends the head of a request, and reads that of the response.
func (q *question) connect(method, target string, more ...string) (*line, *http.Response, error) {
	conn, err := net.DialTimeout("tcp", q.addr, patience)
	if err != nil {
		return nil, nil, err
	}
	_ = conn.(*net.TCPConn).SetLinger(0)           // thousands would wait for their port
	_ = conn.SetDeadline(time.Now().Add(patience)) // reading says so
	text := method + " " + target + " HTTP/1.1\r\n" + hostLine
	for _, l := range append(q.lines(), more...) {
		text += l + "\r\n"
	}
	l := &line{conn, bufio.NewReader(conn)}
	if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
		conn.Close()
		return nil, nil, err
	}
	response, err := http.ReadResponse(l.r, &http.Request{Method: method})
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return l, response, nil
}

// stream asks for an event stream.
func (q *question) stream(method, more string) (string, error) {
	return q.streamAt(method, "/sse?"+q.query(more))
}

// streamAt is stream at another target.
func (q *question) streamAt(method, target string) (string, error) {
	l, response, err := q.connect(method, target)
	if err != nil {
		return "", err
	}
	defer l.conn.Close()
	if response.StatusCode == 200 {
		return "", nil
	}
	if method == "HEAD" {
		return strconv.Itoa(response.StatusCode), nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	return errorCode(answer{status: response.StatusCode, header: response.Header, body: body})
}

// socket opens a WebSocket, with a subprotocol unless it is "".
func (q *question) socket(target, protocol string) (*line, error) {
	offer := protocol
	if q.about.carrier == inProtocol && q.who.proof != "" {
		offer += ", peal.token." + q.who.proof
	}
	lines := strings.Split(strings.TrimSuffix(handshake, "\r\n"), "\r\n")
	if offer != "" {
		lines = append(lines, "Sec-WebSocket-Protocol: "+offer)
	}
	l, response, err := q.connect("GET", target, lines...)
	if err != nil {
		return nil, err
	}
	if got := response.Header.Get("Sec-WebSocket-Protocol"); response.StatusCode != 101 || got != protocol {
		l.conn.Close()
		return nil, fmt.Errorf("status %d with the subprotocol %q, want 101 and %q", response.StatusCode, got, protocol)
	}
	return l, nil
}

// next reads the next message, or the code with which the connection is closed.
func (l *line) next() (text, code string, err error) {
	var head [4]byte
	if _, err := io.ReadFull(l.r, head[:2]); err != nil {
		return "", "", err
	}
	n := int(head[1])
	if n == 126 {
		if _, err := io.ReadFull(l.r, head[2:]); err != nil {
			return "", "", err
		}
		n = int(binary.BigEndian.Uint16(head[2:]))
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(l.r, b); err != nil {
		return "", "", err
	}
	if head[0]&0xf != 8 {
		return string(b), "", nil
	}
	if len(b) < 2 {
		return "", "", errors.New("a close without a code")
	}
	status := map[uint16]string{4401: "401", 4403: "403"}[binary.BigEndian.Uint16(b)]
	if status == "" {
		return "", "", fmt.Errorf("closed with %d %s", binary.BigEndian.Uint16(b), b[2:])
	}
	code, _, found := strings.Cut(string(b[2:]), ": ")
	if !found || strings.Contains(code, " ") {
		return "", status, nil
	}
	if statusOf(code) != status {
		return "", "", fmt.Errorf("closed with %s and the code %s", status, code)
	}
	return "", code, nil
}

// send sends a text frame, whose mask is 0.
func (l *line) send(text string) error {
	head := []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}
	if len(text) < 126 {
		head = []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}
	}
	_, err := l.conn.Write(append(head, text...))
	return err
}

// subscribed opens a WebSocket whose URL subscribes to the channel, and waits for the
// first message, or the close.
func (q *question) subscribed(path, protocol, more string) (string, error) {
	l, err := q.socket(path+"?"+q.query("&cursor=earliest"+more), protocol)
	if err != nil {
		return "", err
	}
	defer l.conn.Close()
	_, code, err := l.next()
	return code, err
}

// raw publishes by a message on a raw WebSocket, and waits for it.
func (q *question) raw() (string, error) {
	l, err := q.socket("/ws?"+q.query(""), "peal.raw")
	if err != nil {
		return "", err
	}
	defer l.conn.Close()
	if err := l.send(q.text); err != nil {
		return "", err
	}
	for {
		text, code, err := l.next()
		if err != nil || code != "" || text == q.text {
			return code, err
		}
	}
}

// say sends a command of peal.v1 on a connection without channels, with the channel.
func (q *question) say(command, more string) (string, error) {
	l, err := q.socket("/ws", "peal.v1")
	if err != nil {
		return "", err
	}
	defer l.conn.Close()
	if err := l.send(fmt.Sprintf(`{"id":7,"command":%q,"channel":%q%s}`, command, q.channel, more)); err != nil {
		return "", err
	}
	for {
		text, code, err := l.next()
		if err != nil || code != "" {
			return code, err
		}
		var reply struct {
			ID    int
			Error struct{ Code string }
		}
		if json.Unmarshal([]byte(text), &reply) == nil && reply.ID == 7 {
			return reply.Error.Code, nil
		}
	}
}

// once has a request that is not about the channel asked once for each principal.
func once(_ *actor, c *matrixChannel) bool { return c.name == "token.in" }

// ofUsers is for requests about the channels of single users.
func ofUsers(_ *actor, c *matrixChannel) bool { return c.user != "" }

// own is for requests about the principal's own channel.
func own(who *actor, c *matrixChannel) bool { return c.user != "" && c.user == who.sub }

func segment(q *question) string { return "/channels/" + url.PathEscape(q.channel) }

var (
	toSubscribe = []grant.Action{grant.Subscribe}
	toWatch     = []grant.Action{grant.Subscribe, grant.Presence}
	toPublish   = []grant.Action{grant.Publish}
	toAskAll    = []grant.Action{grant.Inspect}
)

// matrixRequests are all ways to ask for something.
var matrixRequests = []matrixRequest{
	{name: "raw WebSocket", path: "/ws", actions: toSubscribe, ask: func(q *question) (string, error) { return q.subscribed("/ws", "peal.raw", "") }},
	{name: "raw WebSocket, query", path: "/ws", actions: toSubscribe, carrier: inQuery, ask: func(q *question) (string, error) { return q.subscribed("/ws", "peal.raw", "") }},
	{name: "raw WebSocket at /", path: "/", actions: toSubscribe, carrier: inProtocol, ask: func(q *question) (string, error) { return q.subscribed("/", "peal.raw", "") }},
	{name: "JSON WebSocket, cookie", path: "/ws", actions: toSubscribe, carrier: inCookie, ask: func(q *question) (string, error) { return q.subscribed("/ws", "", "&format=json") }},
	{name: "JSON WebSocket with presence", path: "/ws", actions: toWatch, ask: func(q *question) (string, error) {
		return q.subscribed("/ws", "", "&format=json&presence=1")
	}},
	{name: "peal.v1, URL", path: "/ws", actions: toSubscribe, carrier: inProtocol, ask: func(q *question) (string, error) { return q.subscribed("/ws", "peal.v1", "") }},
	{name: "peal.v1, URL with presence", path: "/ws", actions: toWatch, ask: func(q *question) (string, error) { return q.subscribed("/ws", "peal.v1", "&presence=1") }},
	{name: "peal.v1", command: "subscribe", actions: toSubscribe, carrier: inProtocol, ask: func(q *question) (string, error) { return q.say("subscribe", "") }},
	{name: "peal.v1 with presence", command: "subscribe", actions: toWatch, ask: func(q *question) (string, error) { return q.say("subscribe", `,"presence":true`) }},
	{name: "event stream", path: "/sse", actions: toSubscribe, ask: func(q *question) (string, error) { return q.stream("GET", "") }},
	{name: "event stream, query", path: "/sse", actions: toSubscribe, carrier: inQuery, ask: func(q *question) (string, error) { return q.stream("GET", "&last=1") }},
	{name: "event stream with presence, cookie", path: "/sse", actions: toWatch, carrier: inCookie, ask: func(q *question) (string, error) { return q.stream("GET", "&format=json&presence=1") }},
	{name: "event stream, HEAD", path: "/sse", actions: toSubscribe, ask: func(q *question) (string, error) { return q.stream("HEAD", "") }},
	{name: "poll", path: "/poll", actions: toSubscribe, ask: func(q *question) (string, error) {
		return q.http("GET", "/poll?"+q.query("&cursor=earliest"), "")
	}},
	{name: "poll, query", path: "/poll", actions: toSubscribe, carrier: inQuery, ask: func(q *question) (string, error) {
		return q.http("GET", "/poll?"+q.query("&last=1&format=raw"), "")
	}},
	{name: "poll with presence, cookie", path: "/poll", actions: toWatch, carrier: inCookie, ask: func(q *question) (string, error) {
		return q.http("GET", "/poll?"+q.query("&cursor=earliest&presence=1"), "")
	}},
	{name: "poll, HEAD", path: "/poll", actions: toSubscribe, ask: func(q *question) (string, error) {
		return q.http("HEAD", "/poll?"+q.query("&cursor=earliest"), "")
	}},
	{name: "Durable Stream", path: "/streams/{channel}", actions: []grant.Action{grant.History}, ask: func(q *question) (string, error) {
		return q.http("GET", "/streams/"+url.PathEscape(q.channel), "")
	}},
	{name: "Durable Stream, HEAD", path: "/streams/{channel}", actions: []grant.Action{grant.History}, ask: func(q *question) (string, error) {
		return q.http("HEAD", "/streams/"+url.PathEscape(q.channel), "")
	}},
	{name: "Durable Stream, poll", path: "/streams/{channel}", actions: toSubscribe, ask: func(q *question) (string, error) {
		return q.http("GET", "/streams/"+url.PathEscape(q.channel)+"?live=long-poll&timeout=1ms&offset=-1", "")
	}},
	{name: "Durable Stream, events", path: "/streams/{channel}", actions: toSubscribe, ask: func(q *question) (string, error) {
		return q.streamAt("GET", "/streams/"+url.PathEscape(q.channel)+"?live=sse&offset=-1")
	}},
	{name: "poll of $me", path: "/poll", actions: toSubscribe, only: own, ask: func(q *question) (string, error) {
		return q.http("GET", "/poll?channel=$me&cursor=earliest", "")
	}},

	{name: "HTTP", path: "/channels/{channel}/history", actions: []grant.Action{grant.History}, ask: func(q *question) (string, error) { return q.http("GET", segment(q)+"/history", "") }},
	{name: "HTTP, HEAD", path: "/channels/{channel}/history", actions: []grant.Action{grant.History}, ask: func(q *question) (string, error) { return q.http("HEAD", segment(q)+"/history", "") }},
	{name: "HTTP, $me", path: "/channels/{channel}/history", actions: []grant.Action{grant.History}, only: own, ask: func(q *question) (string, error) { return q.http("GET", "/channels/$me/history", "") }},
	{name: "peal.v1", command: "history", actions: []grant.Action{grant.History}, ask: func(q *question) (string, error) { return q.say("history", "") }},
	{name: "HTTP", path: "/channels/{channel}/presence", actions: []grant.Action{grant.Presence}, ask: func(q *question) (string, error) { return q.http("GET", segment(q)+"/presence", "") }},
	{name: "peal.v1", command: "presence", actions: []grant.Action{grant.Presence}, ask: func(q *question) (string, error) { return q.say("presence", "") }},

	{name: "HTTP", path: "/publish", actions: toPublish, ask: func(q *question) (string, error) {
		return q.http("POST", "/publish?"+q.query(""), q.text, "Content-Type: text/plain")
	}},
	{name: "HTTP, query", path: "/publish", actions: toPublish, carrier: inQuery, ask: func(q *question) (string, error) {
		return q.http("POST", "/publish?"+q.query(""), q.text, "Content-Type: text/plain")
	}},
	{name: "HTTP, upgrade", path: "/publish", actions: toPublish, ask: func(q *question) (string, error) {
		return q.http("POST", "/publish?"+q.query(""), q.text, "Content-Type: text/plain", "Connection: Upgrade", "Upgrade: websocket")
	}},
	{name: "HTTP, form", path: "/publish", actions: toPublish, ask: func(q *question) (string, error) {
		return q.http("POST", "/publish", url.Values{"channel": {q.channel}, "data": {q.text}}.Encode(), "Content-Type: application/x-www-form-urlencoded")
	}},
	{name: "HTTP, JSON", path: "/publish", actions: toPublish, ask: func(q *question) (string, error) {
		return q.http("POST", "/publish", fmt.Sprintf(`{"channel":%q,"data":%q}`, q.channel, q.text), "Content-Type: application/json")
	}},
	{name: "HTTP, user", path: "/publish", actions: toPublish, only: ofUsers, ask: func(q *question) (string, error) {
		return q.http("POST", "/publish?user="+strings.TrimPrefix(q.channel, "$user:"), q.text, "Content-Type: text/plain")
	}},
	{name: "batch", path: "/publish/batch", actions: toPublish, ask: (*question).batch},
	{name: "raw WebSocket", path: "/ws", actions: []grant.Action{grant.Subscribe, grant.Publish}, ask: (*question).raw},
	{name: "peal.v1", command: "publish", actions: toPublish, ask: func(q *question) (string, error) { return q.say("publish", fmt.Sprintf(`,"data":%q`, q.text)) }},

	{name: "HTTP", path: "/channels", actions: toAskAll, listing: true, ask: func(q *question) (string, error) {
		return q.http("GET", "/channels?prefix="+url.QueryEscape(q.channel), "")
	}},
	{name: "HTTP, all", path: "/channels", actions: toAskAll, listing: true, only: once, ask: func(q *question) (string, error) { return q.http("GET", "/channels", "") }},
	{name: "HTTP", path: "/channels/{channel}", actions: toAskAll, ask: func(q *question) (string, error) { return q.http("GET", segment(q), "") }},
	{name: "HTTP", path: "/disconnect", actions: []grant.Action{grant.Disconnect}, only: once, ask: func(q *question) (string, error) { return q.http("POST", "/disconnect?client=nobody", "") }},
	{name: "HTTP", path: "/revoke", actions: []grant.Action{grant.Revoke}, only: once, ask: func(q *question) (string, error) { return q.http("POST", "/revoke?jti=nothing", "") }},
}
