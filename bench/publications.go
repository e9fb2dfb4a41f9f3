package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"peal/loadtest"
)

// Publications that are parsed: batches over HTTP, and commands of peal.v1.
const (
	manyMessages    = 1000 // of one batch: batch-messages, by default
	manyChannels    = 100
	commandClients  = 16
	publicationTime = time.Minute // limit of one request
)

// publicationData are the forms of what is published, each of about messageBytes: text, and JSON
// in a string, which is full of escapes.
var publicationData = []struct{ name, data string }{
	{"text", `"` + strings.Repeat("x", messageBytes) + `"`},
	{"escaped", `"{\"id\":1234567,\"user\":\"eve@example.com\",\"text\":\"` + strings.Repeat("hello ", 10) + `\",\"tags\":[\"a\",\"b\"],\"ok\":true}"`},
}

// publicationMacros are publications whose cost is parsing and appending, on one loop: nobody
// subscribes.
func (c *Config) publicationMacros() []Macro {
	macro := func(name string, load publicationLoad) Macro {
		return Macro{name, func(ctx context.Context, l *Command) ([]Measure, error) {
			return OnServer(ctx, l, 1, func(s *Server) ([]Measure, error) {
				var before counters
				r, err := c.publications(ctx, s, load, func() (err error) {
					before, err = c.Metrics.begin(ctx, s)
					return err
				})
				if err != nil {
					return nil, err
				}
				n, err := c.Metrics.end(ctx, s, before)
				if err != nil {
					return nil, err
				}
				n[published] = float64(r.Published)
				v := []Measure{{"cpu-ns/publication", rounded(float64(r.ServerCPU)/n[published], 1)}}
				v = append(v, n.per("allocs/publication", heapObjects, published, 1)...)
				v = append(v, n.per("alloc-B/publication", heapBytes, published, 0)...)
				return append(v, n.per("sends/publication", "peal_send_calls_total", published, 3)...), nil
			})
		}}
	}
	var all []Macro
	for _, d := range publicationData {
		all = append(all, macro(fmt.Sprintf("Batch/messages=%d/data=%s", manyMessages, d.name), batchLoad(d.data)))
	}
	for _, inFlight := range []int{1, 16} {
		all = append(all, macro(fmt.Sprintf("Command/clients=%d/inflight=%d", commandClients, inFlight), commandLoad(inFlight)))
	}
	return all
}

// publicationLoad is what the clients of a row do: each calls the function that clients returned
// for it, again and again. It publishes and returns how many messages the server has accepted.
type publicationLoad struct {
	clients int
	connect func(ctx context.Context, s *Server, i int) (publish func() (int, error), close func() error, err error)
}

// publications runs load for Length. begin is called after a warm-up; it may be nil.
func (c *Config) publications(ctx context.Context, s *Server, load publicationLoad, begin func() error) (r loadtest.Result, err error) {
	publish := make([]func() (int, error), load.clients)
	for i := range publish {
		one, end, err := load.connect(ctx, s, i)
		if err != nil {
			return r, err
		}
		defer func() { _ = end() }()
		publish[i] = one
	}
	run := func(length time.Duration) (r loadtest.Result, err error) {
		before, err := loadtest.CPUTime(s.PID)
		if err != nil {
			return r, err
		}
		began, sums, failed := time.Now(), make([]int, len(publish)), make([]error, len(publish))
		var all sync.WaitGroup
		for i := range publish {
			all.Go(func() {
				for ctx.Err() == nil && failed[i] == nil && time.Since(began) < length {
					var n int
					n, failed[i] = publish[i]()
					sums[i] += n
				}
			})
		}
		all.Wait()
		for _, n := range sums {
			r.Published += uint64(n)
		}
		r.Took = time.Since(began)
		after, err := loadtest.CPUTime(s.PID)
		r.ServerCPU = after - before
		return r, errors.Join(append(failed, err, ctx.Err())...)
	}
	if _, err := run(c.Length / 4); err != nil { // histories are full then
		return r, fmt.Errorf("warm-up: %w", err)
	}
	return s.inParts(4, begin, func(parts int) (loadtest.Result, error) { return run(c.Length / time.Duration(parts)) })
}

// batchLoad is clients with batches of manyMessages, to manyChannels in turn.
func batchLoad(data string) publicationLoad {
	var body bytes.Buffer
	for i := range manyMessages {
		fmt.Fprintf(&body, `%c{"channel":"batch-%d","data":%s}`, "[,"[min(i, 1)], i%manyChannels, data)
	}
	text := append(append([]byte(`{"messages":`), body.Bytes()...), "]}"...)
	return publicationLoad{2, func(ctx context.Context, s *Server, _ int) (func() (int, error), func() error, error) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: publicationTime}
		publish := func() (int, error) {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Addr+"/publish/batch", bytes.NewReader(text))
			if err != nil {
				return 0, err
			}
			request.Header.Set("Content-Type", "application/json")
			answer, err := client.Do(request)
			if err != nil {
				return 0, err
			}
			defer answer.Body.Close()
			said, err := io.ReadAll(answer.Body)
			n := bytes.Count(said, []byte(`"cursor"`))
			if err == nil && (answer.StatusCode != http.StatusOK || n != manyMessages) {
				err = fmt.Errorf("a batch: status %d, %d of %d messages taken: %.300s", answer.StatusCode, n, manyMessages, said)
			}
			return n, err
		}
		return publish, func() error { client.CloseIdleConnections(); return nil }, nil
	}}
}

// commandLoad is commandClients WebSockets of peal.v1, each of which sends inFlight commands at
// once and then reads as many replies.
func commandLoad(inFlight int) publicationLoad {
	return publicationLoad{commandClients, func(ctx context.Context, s *Server, i int) (func() (int, error), func() error, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
		if err != nil {
			return nil, nil, err
		}
		frames, r := commandFrames(inFlight, i), bufio.NewReaderSize(conn, 64<<10)
		publish := func() (n int, err error) {
			if err := conn.SetDeadline(time.Now().Add(publicationTime)); err != nil {
				return 0, err
			}
			if _, err := conn.Write(frames); err != nil {
				return 0, err
			}
			for n < inFlight {
				text, err := readFrame(r)
				if err != nil {
					return n, err
				}
				if !bytes.Contains(text, []byte(`"ok"`)) && !bytes.Contains(text, []byte(`"cursor"`)) {
					return n, fmt.Errorf("the reply to a publication: %.300s", text)
				}
				n++
			}
			return n, nil
		}
		if err := upgrade(conn, r, s.Addr); err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		return publish, conn.Close, nil
	}}
}

// upgrade makes conn a WebSocket of peal.v1, and reads the first message.
func upgrade(conn net.Conn, r *bufio.Reader, addr string) error {
	_, err := fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: peal.v1\r\n\r\n", addr)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("no WebSocket: %s", answer.Status)
	}
	_, err = readFrame(r)
	return err
}

// commandFrames are n frames as clients send them, each with the command to publish messageBytes.
func commandFrames(n, client int) (frames []byte) {
	for i := range n {
		text := fmt.Appendf(nil, `{"id":%d,"command":"publish","channel":"command-%d","data":%s}`, i+1, (client*n+i)%manyChannels, publicationData[0].data)
		key := [4]byte{0x37, 0xFA, 0x21, byte(i)}
		frames = append(frames, 0x81, 0x80|126)
		frames = binary.BigEndian.AppendUint16(frames, uint16(len(text)))
		frames = append(frames, key[:]...)
		for j, c := range text {
			frames = append(frames, c^key[j%4])
		}
	}
	return slices.Clip(frames)
}

// readFrame reads a frame of a server, and returns its payload until the next call.
func readFrame(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	size, n := 2, int(head[1])
	if n == 126 {
		if head, err = r.Peek(4); err != nil {
			return nil, err
		}
		size, n = 4, int(binary.BigEndian.Uint16(head[2:]))
	} else if n > 126 {
		return nil, fmt.Errorf("a frame of a publication's reply begins with %x", head)
	}
	whole, err := r.Peek(size + n)
	if err != nil {
		return nil, err
	}
	_, err = r.Discard(size + n)
	return whole[size:], err
}
