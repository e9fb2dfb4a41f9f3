package endtoend_test

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// frame is one message of a WebSocket.
type frame struct {
	binary bool
	data   string
}

// socket is a gws client that keeps what comes.
type socket struct {
	t        testing.TB
	conn     *gws.Conn
	protocol string
	got      chan frame
	ended    chan struct{} // closed when the connection is
	code     uint16        // of the server's close frame; 0 for none. Read after ended.
	err      error
}

// quiet keeps gws from printing what the tests report themselves.
type quiet struct{}

func (quiet) Error(...any) {}

type socketHandler struct{ s *socket }

func (socketHandler) OnOpen(*gws.Conn) {}
func (h socketHandler) OnClose(_ *gws.Conn, err error) {
	h.s.err = err
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		h.s.code = closed.Code
	}
	close(h.s.ended)
}
func (socketHandler) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) } // ReadLoop sees what is wrong
func (socketHandler) OnPong(*gws.Conn, []byte)           {}
func (h socketHandler) OnMessage(_ *gws.Conn, m *gws.Message) {
	f := frame{m.Opcode == gws.OpcodeBinary, string(m.Bytes())}
	_ = m.Close() // never fails
	h.s.got <- f
}

// dialSocket connects to a path, "" for ws://host:port without one.
func (p *peal) dialSocket(path string, header http.Header) *socket {
	p.t.Helper()
	s, _, err := p.tryDialSocket(path, header)
	if err != nil {
		p.t.Fatalf("connect to ws://%s%s: %v", p.addr, path, err)
	}
	return s
}

func (p *peal) tryDialSocket(path string, header http.Header) (*socket, *http.Response, error) {
	s := &socket{t: p.t, got: make(chan frame, 4096), ended: make(chan struct{})}
	conn, response, err := gws.NewClient(socketHandler{s}, &gws.ClientOption{
		Addr: p.ws() + path, TlsConfig: p.trust.Clone(), RequestHeader: header, HandshakeTimeout: patience, Logger: quiet{},
		NewDialer: func() (gws.Dialer, error) { return &net.Dialer{Timeout: patience, LocalAddr: p.local}, nil },
	})
	if err != nil {
		return nil, response, err
	}
	s.conn, s.protocol = conn, conn.SubProtocol()
	go conn.ReadLoop() // ends with the connection
	p.t.Cleanup(s.close)
	return s, response, nil
}

func (s *socket) close() {
	_ = s.conn.NetConn().Close() // it may be closed
	<-s.ended
}

func (s *socket) send(binary bool, data string) {
	s.t.Helper()
	opcode := gws.OpcodeText
	if binary {
		opcode = gws.OpcodeBinary
	}
	if err := s.conn.WriteMessage(opcode, []byte(data)); err != nil {
		s.t.Fatalf("send %q: %v", data, err)
	}
}

// next returns the next message.
func (s *socket) next() frame {
	s.t.Helper()
	select {
	case f := <-s.got:
		return f
	default:
	}
	select {
	case f := <-s.got:
		return f
	case <-s.ended:
		s.t.Fatalf("the WebSocket was closed: %v", s.err)
	case <-time.After(patience):
		s.t.Fatalf("no message on the WebSocket in %v", patience)
	}
	return frame{}
}

// nextObject returns the next message of a JSON WebSocket.
func (s *socket) nextObject() message {
	s.t.Helper()
	return decode[message](s.t, []byte(s.next().data))
}

// closed waits for the end and returns the status code of the server's close frame.
func (s *socket) closed() uint16 {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Fatalf("the WebSocket stays open")
	}
	return s.code
}
