package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		conn, rest, err := upgrade(ctx, addr, path(i))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("publisher of stream %d: %w", i, err), p.Close())
		}
		p.conns = append(p.conns, &wsConn{Conn: conn})
		p.wait.Go(func() { _, _ = io.Copy(io.Discard, rest) }) // ends, with an error, when closed
	}
	return p, nil
}

// upgrade opens one WebSocket; rest continues behind the 101.
func upgrade(ctx context.Context, addr, path string) (conn net.Conn, rest io.Reader, err error) {
	if conn, err = dialFrom(ctx, "", addr); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	if err = conn.SetDeadline(time.Now().Add(publishTimeout)); err != nil {
		return nil, nil, err
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", path, addr, leanKey)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(conn)
	head, err := readHead(r)
	if err != nil {
		return nil, nil, err
	}
	if status, err := parseStatus(head); err != nil || status != 101 {
		return nil, nil, fmt.Errorf("upgrade refused: %.200q", head)
	}
	return conn, r, conn.SetDeadline(time.Time{})
}

// readHead reads up to and with the empty line.
func readHead(r *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("read head: %w", err)
		}
		if head = append(head, line...); len(bytes.TrimRight(line, "\r\n")) == 0 {
			return head, nil
		}
	}
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
// each answer.
type HTTPPublisher struct {
	addr   string
	path   func(stream int) string
	conn   net.Conn
	reader *bufio.Reader
	out    []byte

	// Header is further lines of each request, each with its CRLF.
	Header string

	// LastAnswer is the body of the newest answer.
	LastAnswer []byte
}

// DialHTTP connects a publisher that POSTs to path(stream).
func DialHTTP(ctx context.Context, addr string, path func(stream int) string) (*HTTPPublisher, error) {
	conn, err := dialFrom(ctx, "", addr)
	if err != nil {
		return nil, err
	}
	return &HTTPPublisher{addr: addr, path: path, conn: conn, reader: bufio.NewReaderSize(conn, 4096)}, nil
}

// PublishPath is Peal's: POST /publish?channel=prefix+stream.
func PublishPath(prefix string) func(stream int) string {
	return func(stream int) string {
		return "/publish?channel=" + url.QueryEscape(ChannelName(prefix, stream))
	}
}

// Queue publishes at once and waits for the answer, which must be a 200.
func (p *HTTPPublisher) Queue(stream int, payload []byte) error {
	if err := p.conn.SetDeadline(time.Now().Add(publishTimeout)); err != nil {
		return err
	}
	p.out = fmt.Appendf(p.out[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\n%sContent-Length: %d\r\n\r\n",
		p.path(stream), p.addr, p.Header, len(payload))
	p.out = append(p.out, payload...)
	if _, err := p.conn.Write(p.out); err != nil {
		return fmt.Errorf("publish to stream %d: %w", stream, err)
	}
	// The answer is small: it arrives in one read, or is put together here.
	for {
		b, err := p.reader.Peek(max(p.reader.Buffered(), 1))
		if err != nil {
			return fmt.Errorf("answer to publication in stream %d: %w", stream, err)
		}
		a, n, err := parseAnswer(b)
		if err != nil {
			return err
		}
		if n == 0 {
			if _, err := p.reader.Peek(len(b) + 1); err != nil {
				return fmt.Errorf("answer to publication in stream %d: %w", stream, err)
			}
			continue
		}
		if a.status != 200 {
			return fmt.Errorf("publication in stream %d refused: status %d: %.200s", stream, a.status, a.body)
		}
		p.LastAnswer = append(p.LastAnswer[:0], a.body...)
		_, err = p.reader.Discard(n)
		return err
	}
}

// Flush does nothing: Queue already waited.
func (p *HTTPPublisher) Flush() error { return nil }

// Close closes the connection.
func (p *HTTPPublisher) Close() error { return p.conn.Close() }
