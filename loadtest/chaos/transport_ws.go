package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/lxzan/gws"
)

const protocolName = "peal.v1"

// followWebSocket is one WebSocket in format=json.
func followWebSocket(conn net.Conn, q query, e ear) error {
	_, follow, err := openSocket(conn, q, e, q.path("/ws", "json"), "")
	if err != nil {
		return err
	}
	return follow()
}

// followProtocol is one WebSocket that speaks peal.v1: it subscribes to each
// channel by a command of its own, from that channel's cursor.
func followProtocol(conn net.Conn, q query, e ear) error {
	c, follow, err := openSocket(conn, q, e, "/ws", protocolName)
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
	return follow()
}

func openSocket(conn net.Conn, q query, e ear, path, protocol string) (c *gws.Conn, follow func() error, err error) {
	s := &socketEar{ear: e, channels: q.channels, protocol: protocol != ""}
	options := &gws.ClientOption{Addr: "ws://" + q.addr + path, ReadBufferSize: 2048}
	if s.protocol {
		options.RequestHeader = map[string][]string{"Sec-Websocket-Protocol": {protocol}}
	}
	if c, _, err = gws.NewClientFromConn(s, options, conn); err != nil {
		return nil, nil, err
	}
	if c.SubProtocol() != protocol {
		e.rubbish("the server selects the subprotocol %q", c.SubProtocol())
		return nil, nil, errors.New("the server selected another subprotocol")
	}
	return c, func() error { c.ReadLoop(); return s.refused }, nil
}

// socketEar is called by ReadLoop, on the client's goroutine.
type socketEar struct {
	gws.BuiltinEventHandler
	ear
	protocol bool // peal.v1
	channels []string
	answered int // commands
	refused  error
}

// OnPing takes the cursor that a ping brings, of all channels once they are
// subscribed to. Before that, peal.v1 has none.
func (s *socketEar) OnPing(c *gws.Conn, payload []byte) {
	if !s.protocol || s.answered == len(s.channels) && len(payload) > 0 {
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
		Gap       []gapNotice
		object
	}
	err := json.Unmarshal(m.Bytes(), &said)
	switch {
	case err == nil && len(said.Gap) > 0:
		s.gaps(said.Gap)
	case err == nil && said.Data != nil && said.ID == nil:
		s.message(said.Cursor, said.Channel, []byte(*said.Data))
	case err != nil || !s.protocol:
		s.rubbish("not a message: %.200q", m.Bytes())
	case said.Connected != nil:
	case said.Error != nil: // a server that ends, or has too much to do
		s.refused = fmt.Errorf("subscribe: %s", *said.Error)
		_ = c.NetConn().Close() // ends ReadLoop
	case said.ID != nil && *said.ID >= 0 && *said.ID < len(s.channels):
		s.answered++
		s.position(s.channels[*said.ID], said.Cursor)
	default:
		s.rubbish("not a frame of peal.v1: %.200q", m.Bytes())
	}
}
