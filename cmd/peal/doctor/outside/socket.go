package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lxzan/gws"
)

// frame is what arrives on a WebSocket, or its end.
type frame struct {
	text  string
	ping  bool
	pong  bool
	code  uint16 // of a close frame
	ended error
}

// socket is a WebSocket that is being read.
type socket struct {
	conn   *gws.Conn
	raw    net.Conn
	frames chan frame
	done   chan struct{} // closed when nothing reads any more
}

// end closes the connection and waits until nothing reads from it.
func (s *socket) end() {
	_ = s.conn.WriteClose(1000, nil) // the connection ends in any case
	s.raw.Close()
	<-s.done
}

// patientConn leaves its connection open when gws closes it: the body of a response that
// is no 101 is still to be read.
type patientConn struct{ net.Conn }

func (patientConn) Close() error { return nil }

// notUpgraded is a response to the handshake that is no 101, or one that is wrong.
type notUpgraded struct {
	response
	why string
}

func (n *notUpgraded) Error() string { return n.why }

// open makes a WebSocket of the channel. The header is that of the 101.
func (e *examination) open(ctx context.Context, protocol string, query url.Values) (*socket, http.Header, error) {
	raw, err := e.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	u := e.place("ws", query)
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	header := http.Header{"Sec-Websocket-Protocol": {protocol}}
	maps.Copy(header, e.Header)
	s := &socket{frames: make(chan frame, 64), done: make(chan struct{})}
	began := time.Now()
	conn, r, err := gws.NewClientFromConn(&socketHandler{s: s}, &gws.ClientOption{
		Addr: u.String(), RequestHeader: header, ReadMaxPayloadSize: mostBody, HandshakeTimeout: e.Patience,
	}, patientConn{raw})
	if err != nil {
		defer raw.Close()
		return nil, nil, refusedUpgrade(r, err, raw, began)
	}
	s.conn, s.raw = conn, raw
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	go func() { // ends with the connection
		defer close(s.done)
		defer stop()
		conn.ReadLoop()
	}()
	return s, r.Header, nil
}

// refusedUpgrade is a failed handshake.
func refusedUpgrade(r *http.Response, err error, raw net.Conn, began time.Time) error {
	if r == nil {
		return err
	}
	n := &notUpgraded{response: response{status: r.StatusCode, header: r.Header, proto: r.Proto}, why: err.Error()}
	if r.StatusCode != http.StatusSwitchingProtocols {
		if raw.SetDeadline(time.Now().Add(time.Second)) == nil {
			n.response = read(r, nil, began)
		}
		n.why = "the handshake gets " + n.response.String()
	}
	return n
}

var errClosed = errors.New("the connection ended")

// next returns the next frame that is wanted.
func (s *socket) next(ctx context.Context, wait time.Duration, wanted func(frame) bool) (frame, error) {
	late := time.NewTimer(wait)
	defer late.Stop()
	for {
		select {
		case f := <-s.frames:
			switch {
			case f.code != 0:
				return f, fmt.Errorf("closed with %d %s", f.code, f.text)
			case f.ended != nil:
				return f, fmt.Errorf("%w: %v", errClosed, f.ended)
			case wanted(f):
				return f, nil
			}
		case <-late.C:
			return frame{}, errLate
		case <-ctx.Done():
			return frame{}, ctx.Err()
		}
	}
}

// request sends a command with the id 1 and returns its reply.
func (s *socket) request(ctx context.Context, wait time.Duration, command string) (string, error) {
	if err := s.conn.WriteString(command); err != nil {
		return "", err
	}
	f, err := s.next(ctx, wait, func(f frame) bool { return strings.HasPrefix(f.text, `{"id":1,`) })
	return f.text, err
}

// socketHandler is called by ReadLoop, on one goroutine.
type socketHandler struct{ s *socket }

func (h *socketHandler) OnOpen(*gws.Conn) {}

// put passes a frame on; what nobody takes is dropped, the newest first.
func (h *socketHandler) put(f frame) {
	select {
	case h.s.frames <- f:
	default:
	}
}

func (h *socketHandler) OnPing(c *gws.Conn, payload []byte) {
	_ = c.WritePong(payload) // ReadLoop returns the same error
	h.put(frame{ping: true})
}

func (h *socketHandler) OnPong(*gws.Conn, []byte) { h.put(frame{pong: true}) }

func (h *socketHandler) OnMessage(_ *gws.Conn, m *gws.Message) {
	h.put(frame{text: string(m.Bytes())})
	_ = m.Close() // returns a buffer to a pool; always nil
}

func (h *socketHandler) OnClose(_ *gws.Conn, err error) {
	var status *gws.CloseError
	if errors.As(err, &status) {
		h.put(frame{code: status.Code, text: string(status.Reason)})
		return
	}
	if err == nil {
		err = io.EOF
	}
	h.put(frame{ended: err})
}
