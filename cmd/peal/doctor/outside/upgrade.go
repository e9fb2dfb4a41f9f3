package outside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"peal/cmd/peal/doctor"
)

// webSocket checks the upgrade, and that frames pass in both directions.
func (e *examination) webSocket(ctx context.Context) {
	const check = "websocket"
	s, header, err := e.open(ctx, "peal.v1", nil)
	if err != nil {
		e.noWebSocket(ctx, err)
		return
	}
	defer s.end()
	if got := header.Get("Sec-Websocket-Protocol"); got != "peal.v1" {
		e.fault(check, fmt.Sprintf("the subprotocol peal.v1 does not arrive: the response has %q", got), "clients of peal.v1, such as peal.js, end the connection", noUpgrade)
		return
	}
	const why = "clients see a connection that is open and silent"
	first, err := s.next(ctx, e.Patience, func(f frame) bool { return strings.HasPrefix(f.text, `{"connected":`) })
	if first.code != 0 { // from Peal, so frames pass
		e.fine(check, "upgraded; Peal closes it (%d %s)", first.code, first.text)
		return
	}
	if err != nil {
		e.fault(check, "upgraded, but the first frame does not arrive: "+err.Error(), why, noUpgrade)
		return
	}
	var hello struct {
		Connected struct {
			Bytes int `json:"message_bytes"`
		}
	}
	if json.Unmarshal([]byte(first.text), &hello) == nil {
		e.limit = hello.Connected.Bytes
	}
	if err := e.bothWays(ctx, s); err != nil {
		e.fault(check, "upgraded, but "+err.Error(), why, noUpgrade)
		return
	}
	e.fine(check, "upgraded with peal.v1; commands, pings and a frame of %d KiB pass", e.size()>>10)
	e.delivery(ctx, s)
}

// bothWays sends a command, a ping and a large command.
func (e *examination) bothWays(ctx context.Context, s *socket) error {
	if _, err := s.request(ctx, e.Patience, `{"id":1,"command":"ping"}`); err != nil {
		return fmt.Errorf("a command gets no reply: %w", err)
	}
	if err := s.conn.WritePing([]byte("peal doctor")); err != nil {
		return fmt.Errorf("a ping cannot be sent: %w", err)
	}
	if _, err := s.next(ctx, e.Patience, func(f frame) bool { return f.pong }); err != nil {
		return fmt.Errorf("a ping gets no pong: %w", err)
	}
	// Peal refuses the unknown field when it has the whole frame.
	if _, err := s.request(ctx, e.Patience, `{"id":1,"command":"ping","padding":"`+strings.Repeat("x", e.size())+`"}`); err != nil {
		return fmt.Errorf("a frame of %d KiB gets no reply: %w", e.size()>>10, err)
	}
	return nil
}

// delivery checks that messages arrive on a WebSocket.
func (e *examination) delivery(ctx context.Context, s *socket) {
	const check = "websocket-delivery"
	switch {
	case !e.reader:
		e.skip(check, "%s", e.denied)
		return
	case e.publish == nil:
		e.skip(check, "%s", e.cannot)
		return
	}
	command, err := json.Marshal(map[string]any{"id": 1, "command": "subscribe", "channel": e.Channel})
	if err != nil {
		e.skip(check, "%v", err)
		return
	}
	if reply, err := s.request(ctx, e.Patience, string(command)); err != nil || !strings.Contains(reply, `"ok":true`) {
		e.skip(check, "the subscription is refused: %s %v", reply, err)
		return
	}
	began := time.Now()
	text, err := e.say(ctx, check, e.size())
	if err != nil {
		e.add(unpublished(check, err))
		return
	}
	if _, err := s.next(ctx, e.Patience, func(f frame) bool { return strings.Contains(f.text, text) }); err != nil {
		e.fault(check, fmt.Sprintf("a message of %d KiB does not arrive: %v", e.size()>>10, err), "subscribers miss messages", noUpgrade)
		return
	}
	e.fine(check, "a message of %d KiB arrives in %s from the request to publish", e.size()>>10, time.Since(began).Round(10*time.Microsecond))
}

// noWebSocket explains a failed handshake.
func (e *examination) noWebSocket(ctx context.Context, err error) {
	const check = "websocket"
	const why = "browsers have no WebSocket, and fall back to event streams or polls at best"
	var n *notUpgraded
	if !errors.As(err, &n) {
		e.fault(check, "no response to the handshake: "+err.Error(), why, noUpgrade)
		return
	}
	switch {
	case n.code == "upgrade_required":
		e.fault(check, "426 upgrade_required: Upgrade and Connection do not reach Peal", why, noUpgrade)
	case n.code == "bad_handshake":
		e.fault(check, "400 bad_handshake: the request reaches Peal as HTTP/1.0", why, noUpgrade)
	case n.refused():
		e.skip(check, "%s", n.why)
	case n.ofPeal():
		e.add(doctor.Fail(check, n.why+": "+n.message, why, "docs/protocol.md lists the codes and what to do"))
	case n.status == http.StatusForbidden && e.rawWebSocket(ctx):
		e.fine(check, "the proxy refuses peal.v1, and upgrades raw WebSockets, as docs/proxies/nginx-access.conf does")
	default:
		e.fault(check, n.why, why, noUpgrade)
	}
}

// rawWebSocket reports whether a WebSocket without peal.v1 is upgraded.
func (e *examination) rawWebSocket(ctx context.Context) bool {
	s, _, err := e.open(ctx, "peal.raw", url.Values{"channel": {e.Channel}})
	if err != nil {
		return false
	}
	s.end()
	return true
}
