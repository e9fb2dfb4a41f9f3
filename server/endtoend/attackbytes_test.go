package endtoend_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"peal/server"
	"peal/server/rules"
)

// closedWith reads frames up to the server's close frame, and returns its code, and the
// messages before it.
func (w *wire) closedWith() (code uint16, messages []string) {
	w.t.Helper()
	for {
		switch first, payload := w.frame(); first & 15 {
		case 8:
			if len(payload) < 2 {
				return 0, messages
			}
			return binary.BigEndian.Uint16([]byte(payload)), messages
		case 1, 2:
			messages = append(messages, payload)
		}
	}
}

// openSocket opens a WebSocket over the wire.
func (p *peal) openSocket(path, header string) *wire {
	p.t.Helper()
	w := p.dial().send("GET " + path + " HTTP/1.1\r\n" + hostLine + handshake + header + "\r\n")
	w.want("GET", 101)
	return w
}

// Each violation of RFC 6455 has its close code, and what comes behind it is not looked
// at: the message there must not be published.
func TestViolationsOfWebSocketsAreClosed(t *testing.T) {
	p := start(t)
	behind := rawFrame(0x81, "behind")
	for _, c := range []struct {
		name, frames string
		code         uint16
	}{
		{"a length of 2^63", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1002},
		{"a length of 2^63-1", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1009},
		{"one byte more than may be", "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00", 1009},
		{"a length longer than it need be", "\x82\xfe\x00\x01\x00\x00\x00\x00x", 1002},
		{"no mask", "\x81\x01x", 1002},
		{"a mask, then none", rawFrame(0x01, "a") + "\x80\x01b", 1002},
		{"a reserved bit", rawFrame(0xc1, "x"), 1002},
		{"a reserved opcode", rawFrame(0x83, "x"), 1002},
		{"a reserved control opcode", rawFrame(0x8b, ""), 1002},
		{"a fragmented ping", rawFrame(0x09, ""), 1002},
		{"a ping that is too long", rawFrame(0x89, strings.Repeat("p", 126)), 1002},
		{"a continuation of nothing", rawFrame(0x80, "x"), 1002},
		{"a message inside a message", rawFrame(0x01, "a") + rawFrame(0x81, "b"), 1002},
		{"text that is not UTF-8", rawFrame(0x81, "\xff"), 1007},
		{"half a character at the end", rawFrame(0x81, "\xe2\x82"), 1007},
		{"a close of one byte", rawFrame(0x88, "x"), 1002},
		{"a close with a code that may not be sent", rawFrame(0x88, "\x03\xed"), 1002},
		{"a close with a reason that is not UTF-8", rawFrame(0x88, "\x03\xe8\xff"), 1007},
		{"a close, and more of them", strings.Repeat(rawFrame(0x88, "\x03\xe8"), 1000), 1000},
	} {
		w := p.openSocket("/ws?channel=violations", "").send(c.frames + behind)
		if code, messages := w.closedWith(); code != c.code || len(messages) > 0 {
			t.Errorf("%s: closed with %d after %q, want %d", c.name, code, messages, c.code)
		}
		w.conn.Close()
	}
	if a := p.do("GET", "/channels/violations", ""); !strings.Contains(string(a.body), `"messages":0`) {
		t.Errorf("published all the same: %s", a.body)
	}
}

// Empty fragments and pings are legal. They cost the server nothing that lasts, and the
// message between them arrives.
func TestEmptyFragmentsAreOneMessage(t *testing.T) {
	p := start(t)
	w := p.openSocket("/ws?channel=a", "")
	w.send(rawFrame(0x01, "") + strings.Repeat(rawFrame(0x00, "")+rawFrame(0x89, ""), 5000) + rawFrame(0x00, "whole") + rawFrame(0x80, "") + rawFrame(0x88, "\x03\xe8"))
	if code, messages := w.closedWith(); code != 1000 || len(messages) != 1 || messages[0] != "whole" {
		t.Errorf("closed with %d after %q, want one message", code, messages)
	}
}

// A compressed message that becomes much longer is refused, whether the client may
// publish or not.
func TestDeflateBombsAreRefused(t *testing.T) {
	var part bytes.Buffer
	f, _ := flate.NewWriter(&part, flate.BestCompression) // the level exists
	_, _ = f.Write(make([]byte, 64<<10))                  // to memory
	_ = f.Flush()
	bomb := bytes.Repeat(part.Bytes(), 700)
	bomb = bomb[:len(bomb)-4]
	for _, c := range []struct {
		name, path string
		auth       string
		code       uint16
	}{
		{"a client that may publish", "/ws?channel=a", server.AuthOpen, 1009},
		{"a client that is not let in", "/ws?channel=%24user:a", server.AuthOpen, 4401},
		{"a client without a token", "/ws?channel=a", server.AuthToken, 4401},
	} {
		p := startWith(t, func(config *server.Config) {
			config.Listen, config.Deflate, config.Auth = []string{"127.0.0.1:0"}, rules.Yes, c.auth
			if c.auth == server.AuthToken {
				config.Token.Secrets = []string{matrixSecret}
			}
		})
		w := p.openSocket(c.path, "Sec-WebSocket-Extensions: permessage-deflate\r\n").send(rawFrame(0xc2, string(bomb)))
		if code, messages := w.closedWith(); code != c.code || len(messages) > 0 {
			t.Errorf("%s: closed with %d after %d messages, want %d", c.name, code, len(messages), c.code)
		}
		w.conn.Close()
		p.stop()
	}
}

// JSON that would exhaust a parser, or that two parsers read differently, is refused.
func TestJSONThatIsAnAttackIsRefused(t *testing.T) {
	p := start(t)
	deep := strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000)
	for _, c := range []struct {
		name, body string
		code       string
	}{
		{"depth", `{"channel":"a","data":"x","more":` + deep + `}`, "bad_json"},
		{"depth without an end", strings.Repeat(`{"a":`, 10_000), "bad_json"},
		{"a duplicate name", `{"channel":"a","channel":"b","data":"x"}`, "bad_json"},
		{"half a surrogate", `{"channel":"a","data":"\ud800"}`, "bad_json"},
		{"what is not UTF-8", "{\"channel\":\"a\",\"data\":\"\xff\"}", "bad_json"},
		{"a number where text must be", `{"channel":1e999,"data":"x"}`, ""},
		{"more behind the end", `{"channel":"a","data":"x"}{"channel":"b","data":"y"}`, "bad_json"},
		{"NaN", `{"channel":"a","data":"x","n":NaN}`, "bad_json"},
		{"a number with a leading zero", `{"channel":"a","data":"x","n":01}`, "bad_json"},
	} {
		a := p.do("POST", "/publish", c.body, "Content-Type: application/json")
		if said := decode[problem](t, a.body).Error.Code; a.status != 400 || c.code != "" && said != c.code {
			t.Errorf("%s: %d %s, want 400 %s", c.name, a.status, a.body, c.code)
		}
	}
	for _, path := range []string{
		"/poll?last=-1", "/poll?last=1e3", "/poll?timeout=NaN", "/channels?limit=0x10", "/channels/a/history?last=-0",
	} {
		if a := p.do("GET", path, ""); a.status != 400 {
			t.Errorf("%s: %d %s, want 400", path, a.status, a.body)
		}
	}
	// On peal.v1 the connection stays, and the next command is executed.
	s := p.openSocket("/ws", "Sec-WebSocket-Protocol: peal.v1\r\n")
	s.unmaskedLong()
	for command, want := range map[string]string{
		`{"id":2,"command":"ping","more":` + deep + `}`: `"error":{"code":"bad_`,
		`[]`:                            `"error":{"code":"bad_`,
		`"x"`:                           `"error":{"code":"bad_`,
		`{"id":3,"command":{}}`:         `"error":{"code":"unknown_command"`,
		`{"id":1e999,"command":"ping"}`: `{"id":1e999,"ok":true`, // an id is the client's
		`{"id":99999999999999999999999,"command":"ping"}`: `{"id":99999999999999999999999,"ok":true`,
	} {
		s.send(rawFrame(0x81, command))
		if got := s.unmaskedLong(); !strings.Contains(got, want) {
			t.Errorf("%.40s: %s, want %s", command, got, want)
		}
	}
	s.send(rawFrame(0x81, `{"id":4,"command":"ping"}`))
	if got := s.unmaskedLong(); !strings.Contains(got, `"id":4`) || strings.Contains(got, "error") {
		t.Errorf("the command behind them: %s", got)
	}
	if a := p.do("GET", "/channels", ""); strings.Contains(string(a.body), `"a"`) {
		t.Errorf("something was published: %s", a.body)
	}
}

// unmaskedLong reads one text frame of a server.
func (w *wire) unmaskedLong() string {
	w.t.Helper()
	for {
		if first, payload := w.frame(); first&15 == 1 {
			return payload
		}
	}
}

// Names and data of publishers stay in their fields of an event stream, whatever they
// have.
func TestEventStreamsAreNotInjected(t *testing.T) {
	p := start(t)
	w := p.dial().send(get("/sse?channel=inject%0Adata:%20evil"))
	if a := w.answer("GET"); a.status != 400 {
		t.Errorf("a channel with a line end: %d", a.status)
	}
	for _, event := range []string{"a%0Adata:%20evil", "a%0D%0A%0D%0Adata:%20evil", "a%0Did:%209", "%00"} {
		if a := p.do("POST", "/publish?channel=a&event="+event, "x"); a.status != 400 || !strings.Contains(string(a.body), "bad_event") {
			t.Errorf("event %s: %d %s, want 400 bad_event", event, a.status, a.body)
		}
	}
	w = p.dial().send(get("/sse?channel=a"))
	p.awaitSubscribers("a", 1)
	evil := "x\r\rid: 1-1\ndata: evil\n\nevent: evil\r\n\r\nretry: 1\n: comment"
	p.publishTo("/publish?channel=a", evil, "Content-Type: text/plain")
	p.publishTo("/publish?channel=a", "end", "Content-Type: text/plain")
	got := ""
	for !strings.Contains(got, "data: end\n\n") {
		line, err := w.r.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got += line
	}
	_, got, _ = strings.Cut(got, "data: x\n")
	event, _, _ := strings.Cut(got, "\n\n")
	for line := range strings.Lines(event) {
		if !strings.HasPrefix(line, "data: ") || strings.Contains(line, "\r") {
			t.Errorf("a line of the event is %q", line)
		}
	}
}

// A header of the PROXY protocol, or a forwarding header, of a client that is no trusted
// proxy changes nothing: the first is no request, the second is ignored.
func TestForgedAddressesAreNotBelieved(t *testing.T) {
	p := start(t)
	for name, header := range map[string]string{
		"version 1": "PROXY TCP4 203.0.113.9 127.0.0.1 1 80\r\n",
		"version 2": "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\x7f\x00\x00\x01\x00\x01\x00\x50",
	} {
		w := p.dial().send(header + post("/publish?channel=forged", "x"))
		if a := w.answer("POST"); a.status != 400 || !a.closing {
			t.Errorf("PROXY %s: %d, closing %v, want 400 and the end", name, a.status, a.closing)
		}
		w.ended("PROXY " + name)
	}
	if a := p.do("GET", "/channels/forged", ""); !strings.Contains(string(a.body), `"messages":0`) {
		t.Errorf("published all the same: %s", a.body)
	}
}

// Chunk extensions and trailers are framing: they change neither the body nor the request
// behind it. A target in absolute form decides the host, not the header.
func TestFramingHasOneMeaning(t *testing.T) {
	p := start(t)
	chunked := "POST /publish?channel=framing HTTP/1.1\r\n" + hostLine + "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
	w := p.dial()
	for i, body := range []string{
		"2;ext=\"a;b\"\r\nhi\r\n0\r\n\r\n",
		"2\r\nhi\r\n0;last\r\n\r\n",
		"2\r\nhi\r\n0\r\nContent-Length: 50\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		a := w.send(chunked + body).answer("POST")
		if a.status != 200 || a.closing {
			t.Errorf("body %d: %d %s, want 200 and a connection that stays", i, a.status, a.body)
			w = p.dial()
		}
	}
	if a := p.do("GET", "/channels/framing/history?last=9", ""); strings.Count(string(a.body), `"data":"hi"`) != 3 {
		t.Errorf("the bodies: %s", a.body)
	}
	for _, c := range []struct {
		target, host string
		status       int
	}{
		{"http://localhost/channels", "127.0.0.1", 200},
		{"http://localhost/channels", "evil.example", 200}, // RFC 9112 §3.2.2: Host is ignored
		{"http://evil.example/channels", "localhost", 403},
		{"https://evil.example:443/channels", "localhost", 403},
		{"//evil.example/channels", "localhost", 404},
		{"http://localhost@evil.example/channels", "localhost", 400},
		{"http://evil.example#localhost/channels", "localhost", 400},
	} {
		w := p.dial().send(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", c.target, c.host))
		if a := w.answer("GET"); a.status != c.status {
			t.Errorf("%s with Host %s: %d, want %d", c.target, c.host, a.status, c.status)
		}
	}
}
