package chaos

import (
	"bytes"
	"encoding/json"
	"net"

	"github.com/lxzan/gws"
)

// followWebSocket is one WebSocket in format=json.
func followWebSocket(conn net.Conn, q query, e ear) error {
	c, _, err := gws.NewClientFromConn(&webSocketEar{ear: e}, &gws.ClientOption{
		Addr:           "ws://" + q.addr + q.path("/ws", "json"),
		ReadBufferSize: 2048,
	}, conn)
	if err != nil {
		return err
	}
	c.ReadLoop()
	return nil
}

// webSocketEar is called by ReadLoop, on the client's goroutine.
type webSocketEar struct {
	gws.BuiltinEventHandler
	ear
}

// OnPing takes the cursor that a ping brings.
func (w *webSocketEar) OnPing(c *gws.Conn, payload []byte) {
	w.position("", string(payload))
	_ = c.WritePong(payload) // ReadLoop meets the same error
}

func (w *webSocketEar) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	text := m.Bytes()
	if !bytes.HasPrefix(text, []byte(`{"gap":`)) {
		hearObject(w.ear, text)
		return
	}
	var said struct{ Gap []gapNotice }
	if err := json.Unmarshal(text, &said); err != nil || len(said.Gap) == 0 {
		w.rubbish("not a gap: %.200q", text)
		return
	}
	for _, g := range said.Gap {
		w.gap(g)
	}
}
