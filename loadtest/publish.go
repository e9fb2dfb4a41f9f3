package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Publisher sends messages. Queue may send or wait until Flush; payload is not
// kept. One goroutine uses it.
type Publisher interface {
	Queue(stream int, payload []byte) error
	Flush() error
	Close() error
}

// publishTimeout bounds each write and answer.
const publishTimeout = 20 * time.Second

// WSPublisher publishes over raw WebSocket, one connection per stream, and
// writes what was queued for a stream in one call.
type WSPublisher struct {
	conns []*wsConn
	wait  sync.WaitGroup // their readers; each ends with its connection
}

type wsConn struct {
	net.Conn
	queued []byte
}

// DialWS connects a publisher. path gives each stream's request path: on Peal
// "/ws?channel=…", and what comes back is read and dropped.
func DialWS(ctx context.Context, addr string, streams int, path func(stream int) string) (*WSPublisher, error) {
	p := &WSPublisher{}
	for i := range streams {
		conn, rest, err := upgrade(ctx, &Endpoint{Addr: addr, Host: addr}, path(i))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("publisher of stream %d: %w", i, err), p.Close())
		}
		p.conns = append(p.conns, &wsConn{Conn: conn})
		p.wait.Go(func() { _, _ = io.Copy(io.Discard, rest) }) // ends, with an error, when closed
	}
	return p, nil
}

// upgrade opens one WebSocket; rest continues behind the 101.
func upgrade(ctx context.Context, to *Endpoint, path string) (conn net.Conn, rest io.Reader, err error) {
	opened, err := to.Dial(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = opened.Close() // the error says more
		}
	}()
	conn = opened
	if err = conn.SetDeadline(time.Now().Add(publishTimeout)); err != nil {
		return nil, nil, err
	}
	if _, err = conn.Write(appendUpgrade(nil, path, to.Host, "")); err != nil {
		return nil, nil, err
	}
	r := newResponses(conn)
	answer, err := r.head()
	if err != nil {
		return nil, nil, fmt.Errorf("upgrade: %w", err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Sec-WebSocket-Accept") != leanAccept {
		return nil, nil, fmt.Errorf("upgrade refused: %s, or a wrong Sec-WebSocket-Accept", answer.Status)
	}
	return conn, r.reader, conn.SetDeadline(time.Time{})
}

// Queue adds a text frame to what Flush will write.
func (p *WSPublisher) Queue(stream int, payload []byte) error {
	c := p.conns[stream]
	c.queued = appendMasked(c.queued, 1, payload)
	return nil
}

// Flush writes what was queued.
func (p *WSPublisher) Flush() error {
	for i, c := range p.conns {
		if len(c.queued) == 0 {
			continue
		}
		if err := c.SetWriteDeadline(time.Now().Add(publishTimeout)); err != nil {
			return err
		}
		if _, err := c.Write(c.queued); err != nil {
			return fmt.Errorf("publish to stream %d: %w", i, err)
		}
		c.queued = c.queued[:0]
	}
	return nil
}

// Close closes the connections and waits for their readers.
func (p *WSPublisher) Close() error {
	for _, c := range p.conns {
		_ = c.Conn.Close() // the server may have been first
	}
	p.wait.Wait()
	return nil
}

// HTTPPublisher publishes by POST on one keep-alive connection and waits for
// each answer. Where the server ends the connection with an answer, the next message
// goes over another.
type HTTPPublisher struct {
	addr    string
	path    func(stream int) string
	conn    net.Conn // nil: ended
	answers *responses
	out     []byte

	// Header is further lines of each request, each with its CRLF.
	Header string

	// LastAnswer is the body of the newest answer.
	LastAnswer []byte
}

// DialHTTP connects a publisher that POSTs to path(stream).
func DialHTTP(ctx context.Context, addr string, path func(stream int) string) (*HTTPPublisher, error) {
	p := &HTTPPublisher{addr: addr, path: path}
	return p, p.dial(ctx)
}

func (p *HTTPPublisher) dial(ctx context.Context) (err error) {
	if p.conn, err = Dialer("", 0).DialContext(ctx, "tcp", p.addr); err != nil {
		p.conn = nil
		return err
	}
	p.answers = newResponses(p.conn)
	return nil
}

// PublishPath is Peal's: POST /publish?channel=prefix+stream.
func PublishPath(prefix string) func(stream int) string {
	return func(stream int) string {
		return "/publish?channel=" + url.QueryEscape(ChannelName(prefix, stream))
	}
}

// Queue publishes at once and waits for the answer, which must be a 200.
func (p *HTTPPublisher) Queue(stream int, payload []byte) error {
	if p.conn == nil {
		ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
		defer cancel()
		if err := p.dial(ctx); err != nil {
			return fmt.Errorf("publish to stream %d: %w", stream, err)
		}
	}
	if err := p.conn.SetDeadline(time.Now().Add(publishTimeout)); err != nil {
		return err
	}
	p.out = append(appendPost(p.out[:0], p.path(stream), p.addr, textHeader+p.Header, len(payload)), payload...)
	if _, err := p.conn.Write(p.out); err != nil {
		return fmt.Errorf("publish to stream %d: %w", stream, err)
	}
	answer, body, err := p.answers.next(partialLimit)
	if err != nil {
		return fmt.Errorf("response to publication in stream %d: %w", stream, err)
	}
	if answer.Close {
		err = p.Close()
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("publication in stream %d refused: status %d: %.200s", stream, answer.StatusCode, body)
	}
	p.LastAnswer = append(p.LastAnswer[:0], body...)
	return err
}

// Flush does nothing: Queue already waited.
func (p *HTTPPublisher) Flush() error { return nil }

// Close closes the connection. A further Queue would open another.
func (p *HTTPPublisher) Close() error {
	if p.conn == nil {
		return nil
	}
	err := p.conn.Close()
	p.conn = nil
	return err
}
