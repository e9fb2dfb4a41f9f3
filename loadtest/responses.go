package loadtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// responses reads what a server answers on one connection.
type responses struct {
	conn   io.Reader
	ended  error // of conn
	reader *bufio.Reader
}

func newResponses(conn io.Reader) *responses {
	r := &responses{conn: conn}
	r.reader = bufio.NewReader(r)
	return r
}

// Read reads from the connection and remembers whether it has ended.
func (r *responses) Read(p []byte) (n int, err error) {
	n, err = r.conn.Read(p)
	if err != nil {
		r.ended = err
	}
	return n, err
}

// head reads the head of a response, after the interim ones before it. The error is
// errCut if the connection ended before, and ErrUnreadable if it cannot be read.
func (r *responses) head() (*http.Response, error) {
	for {
		answer, err := http.ReadResponse(r.reader, nil)
		if err != nil {
			return nil, r.judge(err)
		}
		if answer.StatusCode/100 != 1 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, nil
		}
	}
}

// next reads a whole response and returns limit bytes of its body. The errors are
// those of head.
func (r *responses) next(limit int64) (answer *http.Response, body []byte, err error) {
	if answer, err = r.head(); err != nil {
		return nil, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(answer.Body, limit))
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
	}
	_ = answer.Body.Close() // it was read
	if err != nil {
		return nil, nil, r.judge(err)
	}
	return answer, body, nil
}

// judge is asUnreadable for an error of reading: what was cut off by the end of the
// connection is not unreadable.
func (r *responses) judge(err error) error {
	if r.ended != nil {
		return fmt.Errorf("%w: %w", errCut, r.ended)
	}
	return asUnreadable(err)
}

// asUnreadable is ErrUnreadable for an error of reading that is not the connection's.
func asUnreadable(err error) error {
	var network net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network) {
		return err
	}
	return unreadable("%w", err)
}

// textHeader is of a publication that is its message.
const textHeader = "Content-Type: text/plain\r\n"

// appendPost appends the head of a POST of n bytes. header is further lines, each
// with its CRLF, here and below.
func appendPost(dst []byte, path, host, header string, n int) []byte {
	dst = appendAll(dst, "POST ", path, " HTTP/1.1\r\nHost: ", host, "\r\n", header, "Content-Length: ")
	return append(strconv.AppendInt(dst, int64(n), 10), "\r\n\r\n"...)
}

func appendGet(dst []byte, path, host, header string) []byte {
	return appendAll(dst, "GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n", header, "\r\n")
}

func appendAll(dst []byte, parts ...string) []byte {
	for _, part := range parts {
		dst = append(dst, part...)
	}
	return dst
}

// appendUpgrade appends the opening of a WebSocket.
func appendUpgrade(dst []byte, path, host, header string) []byte {
	return appendGet(dst, path, host, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+leanKey+"\r\n"+header)
}
