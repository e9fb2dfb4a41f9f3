package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/lxzan/gws"
)

// followProtocol is one WebSocket that speaks peal.v1: it subscribes to each
// channel by a command of its own, from that channel's cursor.
func followProtocol(conn net.Conn, q query, e ear) error {
	p := &protocolEar{ear: e, query: q}
	c, _, err := gws.NewClientFromConn(p, &gws.ClientOption{
		Addr:           "ws://" + q.addr + "/ws",
		RequestHeader:  map[string][]string{"Sec-Websocket-Protocol": {"peal.v1"}},
		ReadBufferSize: 2048,
	}, conn)
	if err != nil {
		return err
	}
	if c.SubProtocol() != "peal.v1" {
		e.rubbish("the server selects the subprotocol %q", c.SubProtocol())
		return errors.New("no peal.v1")
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
	c.ReadLoop()
	return p.refused
}

// protocolEar is called by ReadLoop, on the client's goroutine.
type protocolEar struct {
	gws.BuiltinEventHandler
	ear
	query    query
	answered int // commands
	refused  error
}

// OnPing takes the cursor that a ping brings, of all channels once they are
// subscribed to.
func (p *protocolEar) OnPing(c *gws.Conn, payload []byte) {
	if p.answered == len(p.query.channels) && len(payload) > 0 {
		p.position("", string(payload))
	}
	_ = c.WritePong(payload) // ReadLoop meets the same error
}

func (p *protocolEar) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if p.refused != nil {
		return
	}
	text := m.Bytes()
	var said struct {
		Connected *json.RawMessage
		ID        *int
		Error     *json.RawMessage
		Gap       []gapNotice
		object
	}
	err := json.Unmarshal(text, &said)
	switch {
	case err != nil:
		p.rubbish("not a frame of peal.v1: %.200q", text)
	case said.Connected != nil:
	case said.Gap != nil:
		for _, g := range said.Gap {
			p.gap(g)
		}
	case said.Error != nil: // a server that ends, or has too much to do
		p.refused = fmt.Errorf("subscribe: %s", *said.Error)
		_ = c.NetConn().Close() // ends ReadLoop
	case said.ID != nil && *said.ID >= 0 && *said.ID < len(p.query.channels):
		p.answered++
		p.position(p.query.channels[*said.ID], said.Cursor)
	case said.Data != nil:
		p.message(said.Cursor, said.Channel, []byte(*said.Data))
	default:
		p.rubbish("not a frame of peal.v1: %.200q", text)
	}
}
