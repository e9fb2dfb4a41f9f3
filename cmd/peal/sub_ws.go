package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lxzan/gws"
)

// maxFrame bounds a message of the server; its own limit is far below.
const maxFrame = 1 << 30

// webSocket runs one WebSocket connection with the subprotocol peal.v1. The server
// sends its position at once, so a break before the first message loses nothing.
func (s *subscriber) webSocket(ctx context.Context) error {
	u := endpoint(s.base, "ws", s.query())
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	h := &webSocketHandler{subscriber: s}
	header := http.Header{"Sec-Websocket-Protocol": {"peal.v1"}}
	maps.Copy(header, s.header)
	conn, response, err := gws.NewClient(h, &gws.ClientOption{
		Addr:               u.String(),
		ReadMaxPayloadSize: maxFrame,
		RequestHeader:      header,
		TlsConfig:          s.trust.Clone(),
		NewDialer:          func() (gws.Dialer, error) { return contextDialer{ctx}, nil },
	})
	if err != nil {
		if response != nil && response.StatusCode != 101 {
			return &refusal{status: response.StatusCode, text: "the server responds with " + response.Status}
		}
		return err
	}
	s.answered = true
	defer conn.NetConn().Close()
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()
	conn.ReadLoop()
	return h.err
}

// contextDialer dials until ctx ends.
type contextDialer struct{ ctx context.Context }

func (d contextDialer) Dial(network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(d.ctx, network, address)
}

// webSocketHandler is called by ReadLoop, on the goroutine that called that.
type webSocketHandler struct {
	*subscriber
	err error // why the connection ends
}

func (h *webSocketHandler) OnOpen(*gws.Conn)         {}
func (h *webSocketHandler) OnPong(*gws.Conn, []byte) {}

// OnPing stores the cursor that a ping contains.
func (h *webSocketHandler) OnPing(c *gws.Conn, payload []byte) {
	if h.err == nil {
		h.at(string(payload))
	}
	_ = c.WritePong(payload) // ReadLoop returns the same error
}

func (h *webSocketHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if h.err != nil {
		return
	}
	object := m.Bytes()
	if !slices.ContainsFunc(notMessages, func(start []byte) bool { return bytes.HasPrefix(object, start) }) {
		if h.err = h.message(object); h.err != nil {
			_ = c.WriteClose(1000, nil) // the connection ends in any case
		}
		return
	}
	var frame struct {
		Connected struct{ Cursor string }
		Gap       []gap
	}
	if err := json.Unmarshal(object, &frame); err != nil {
		h.err = fmt.Errorf("read a frame of the server: %w", err)
		c.NetConn().Close()
		return
	}
	h.at(frame.Connected.Cursor)
	for _, g := range frame.Gap {
		h.gap(g)
	}
}

// notMessages are the beginnings of the frames that are no messages. The warning that a
// token expires is one: peal sub has no other token.
var notMessages = [][]byte{[]byte(`{"gap":`), []byte(`{"connected":`), []byte(`{"token_expires":`)}

// reconnectable are the close codes after which the same subscription may succeed.
var reconnectable = []uint16{0, 1000, 1001, 1005, 1006, 1011, 1012, 1013, 4429}

func (h *webSocketHandler) OnClose(_ *gws.Conn, err error) {
	var status *gws.CloseError
	switch {
	case h.err != nil:
	case !errors.As(err, &status):
		h.err = fmt.Errorf("the connection broke: %w", err)
	default:
		closed := &refusal{status: max(1000, int(status.Code)), text: fmt.Sprintf("the server closed with %d %s", status.Code, status.Reason)}
		if h.err = closed; slices.Contains(reconnectable, status.Code) {
			closed.after = retryIn(string(status.Reason))
			return
		}
		closed.status -= 4000
		closed.code, _, _ = strings.Cut(string(status.Reason), ":")
		h.err = finalError{closed}
	}
}

// retryIn is the time at the end of the reason of a close, as in "draining: …; retry in
// 2731 ms"; 0 without one.
func retryIn(reason string) time.Duration {
	_, hint, _ := strings.Cut(reason, "; retry in ")
	milliseconds, found := strings.CutSuffix(hint, " ms")
	if n, err := strconv.ParseUint(milliseconds, 10, 31); err == nil && found {
		return time.Duration(n) * time.Millisecond
	}
	return 0
}
