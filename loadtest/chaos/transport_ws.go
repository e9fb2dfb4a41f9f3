package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lxzan/gws"
)

const protocolName = "peal.v1"

// behind is the code of a refusal by a node of a cluster that has not read the log far enough.
const behind = "node_behind"

// followWebSocket is one WebSocket in format=json.
func followWebSocket(conn net.Conn, q query, e ear) error {
	_, _, follow, err := openSocket(conn, q, e, q.path("/ws", "json"), "")
	if err != nil {
		return err
	}
	return follow()
}

// followProtocol is one WebSocket that speaks peal.v1: it subscribes to each
// channel by a command of its own, from that channel's cursor.
func followProtocol(conn net.Conn, q query, e ear) error {
	c, s, follow, err := openSocket(conn, q, e, q.identify("/ws"), protocolName)
	if err != nil {
		return err
	}
	for i, channel := range q.channels {
		command := map[string]any{"id": i, "command": "subscribe", "channel": channel}
		if q.cursors[i] != "" {
			command["cursor"] = q.cursors[i]
		}
		text, err := json.Marshal(command)
		if err != nil {
			return err
		}
		if err := c.WriteMessage(gws.OpcodeText, text); err != nil {
			return err
		}
	}
	stop := s.renew(c)
	defer func() { stop() }()
	return follow()
}

func openSocket(conn net.Conn, q query, e ear, path, protocol string) (c *gws.Conn, s *socketEar, follow func() error, err error) {
	s = &socketEar{ear: e, channels: q.channels, protocol: protocol != "", renewal: q.renewal}
	options := &gws.ClientOption{Addr: "ws://" + q.addr + path, ReadBufferSize: 2048, RequestHeader: map[string][]string{}}
	if s.protocol {
		options.RequestHeader["Sec-Websocket-Protocol"] = []string{protocol}
	}
	if q.proof != "" {
		options.RequestHeader["Authorization"] = []string{"Bearer " + q.proof}
	}
	c, answer, err := gws.NewClientFromConn(s, options, conn)
	if err != nil && answer != nil && answer.StatusCode == http.StatusServiceUnavailable {
		err = errors.Join(errComeBack, err)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	e.adopt(answer.Header.Get(sessionHeader))
	if c.SubProtocol() != protocol {
		e.rubbish("the server selects the subprotocol %q", c.SubProtocol())
		return nil, nil, nil, errors.New("the server selected another subprotocol")
	}
	return c, s, func() error { c.ReadLoop(); return s.refused }, nil
}

// socketEar is called by ReadLoop, on the client's goroutine.
type socketEar struct {
	gws.BuiltinEventHandler
	ear
	protocol bool // peal.v1
	channels []string
	answered int // commands
	refused  error

	renewal renewal     // nil: none
	timer   *time.Timer // sends the next token
	lacks   bool        // a renewal has taken a channel: what a ping says does not hold for that
	rest    int         // messages until the connection is given up, because it lacks a channel; 0: it goes on
}

// tokenID is the id of the command that renews the token. Others have small numbers.
const tokenID = 1 << 20

// afterReduction is how many messages a connection receives that has lost a channel.
const afterReduction = 3

// renew has the next token sent when it is time. stop ends that.
func (s *socketEar) renew(c *gws.Conn) (stop func()) {
	if s.renewal == nil {
		return func() {}
	}
	text, at := s.renewal.next()
	command := fmt.Appendf(nil, `{"id":%d,"command":"token","token":%q}`, tokenID, text)
	s.timer = time.AfterFunc(time.Until(at), func() { _ = c.WriteMessage(gws.OpcodeText, command) }) // ReadLoop meets the same error
	return func() { s.timer.Stop() }
}

// renewed takes the response to a renewal.
func (s *socketEar) renewed(c *gws.Conn, unsubscribed []string) {
	s.renewal.renewed(unsubscribed)
	if len(unsubscribed) > 0 {
		s.rest, s.lacks = afterReduction, true
		return
	}
	s.renew(c)
}

// OnPing takes the cursor that a ping brings, of all channels once they are
// subscribed to. Before that, peal.v1 has none.
func (s *socketEar) OnPing(c *gws.Conn, payload []byte) {
	if !s.protocol || s.answered == len(s.channels) && len(payload) > 0 && !s.lacks {
		s.position("", string(payload))
	}
	_ = c.WritePong(payload) // ReadLoop meets the same error
}

func (s *socketEar) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if s.refused != nil {
		return
	}
	var said struct {
		Connected *json.RawMessage
		ID        *int
		Error     *json.RawMessage
		Expires   *json.RawMessage `json:"token_expires"`

		Unsubscribed []string
		Gap          []gapNotice
		object
	}
	err := json.Unmarshal(m.Bytes(), &said)
	switch {
	case err == nil && len(said.Gap) > 0:
		s.gaps(said.Gap)
	case err == nil && said.Data != nil && said.ID == nil:
		s.message(said.Cursor, said.Channel, []byte(*said.Data))
		if s.rest > 0 {
			if s.rest--; s.rest == 0 {
				_ = c.NetConn().Close() // ends ReadLoop
			}
		}
	case err != nil || !s.protocol:
		s.rubbish("not a message: %.200q", m.Bytes())
	case said.Connected != nil, said.Expires != nil:
	case said.Error != nil: // a server that ends, or has too much to do
		s.refused = fmt.Errorf("subscribe: %s", *said.Error)
		if strings.Contains(string(*said.Error), behind) {
			s.refused = errors.Join(errComeBack, s.refused)
		}
		_ = c.NetConn().Close() // ends ReadLoop
	case said.ID != nil && *said.ID == tokenID && s.renewal != nil:
		s.renewed(c, said.Unsubscribed)
	case said.ID != nil && *said.ID >= 0 && *said.ID < len(s.channels):
		s.answered++
		s.position(s.channels[*said.ID], said.Cursor)
	default:
		s.rubbish("not a frame of peal.v1: %.200q", m.Bytes())
	}
}
