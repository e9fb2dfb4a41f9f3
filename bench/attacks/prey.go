package attacks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"peal/bench"
	"peal/loadtest"
	"peal/loadtest/hostile"
)

// prey is the server under attack, as one honest client sees it.
type prey struct {
	*bench.Server
	secure string // address where it speaks TLS; "" for none

	dir   string // of its log; "" if the log is in memory
	tally hostile.Tally
	peak  uint64 // highest resident memory during the attack, in bytes
	grown int64  // bytes of the live heap after the attack beyond those before it

	cursor string   // from before the attack
	stall  net.Conn // see staller
}

// client sends the requests of the honest client of Prepare and Check.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// ask sends one request and returns the status, the header and the body.
func (p *prey) ask(ctx context.Context, method, path, body string, header ...string) (status int, h http.Header, b []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.Addr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer a.Body.Close()
	b, err = io.ReadAll(a.Body)
	return a.StatusCode, a.Header, b, err
}

// post is ask for a POST that the server must accept.
func (p *prey) post(ctx context.Context, path, body string, header ...string) ([]byte, error) {
	status, _, b, err := p.ask(ctx, "POST", path, body, header...)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("POST %.60s: status %d: %.200s", path, status, b)
	}
	return b, err
}

// archive fills the history of the channels that the kinds last and earliest request.
func (s Size) archive(ctx context.Context, p *prey) error {
	type message struct {
		Channel string `json:"channel"`
		Data    string `json:"data"`
	}
	for c := range s.Channels {
		batch := map[string][]message{}
		for i := range s.Messages {
			batch["messages"] = append(batch["messages"], message{fmt.Sprint(hostile.ArchivePrefix, c), fmt.Sprint("m", i)})
		}
		b, err := json.Marshal(batch)
		if err == nil {
			_, err = p.post(ctx, "/publish/batch", string(b), "Content-Type", "application/json")
		}
		if err != nil {
			return fmt.Errorf("fill the history: %w", err)
		}
	}
	return nil
}

// longAgo fills the history behind a cursor.
func (s Size) longAgo(ctx context.Context, p *prey) error {
	if err := rememberCursor(ctx, p); err != nil {
		return err
	}
	return s.archive(ctx, p)
}

// listing fills one history with 1 MB that takes 6 MB in a listing.
func (s Size) listing(ctx context.Context, p *prey) error {
	body := string(hostile.ControlCharacters(1000))
	for range s.Messages {
		if _, err := p.post(ctx, "/publish?channel="+hostile.ListingChannel, body); err != nil {
			return fmt.Errorf("fill the history: %w", err)
		}
	}
	return nil
}

// memoryOfHistory compares what the histories and their encodings keep with
// history-total-bytes. The resident memory is another matter: it follows the rate at which
// the attack allocates, because Go lets the heap grow to twice what is live before it
// collects, and returns what is free some time later. memory-limit bounds it.
func memoryOfHistory(_ context.Context, p *prey) ([]Figure, error) {
	const total = 32 << 20
	return []Figure{
		{"kept per history-total-bytes", float64(p.grown) / total, "at most 1.25, and 0.1 for buffers"},
		{"resident at most, per history-total-bytes", float64(p.peak) / total, "not bounded by it: twice what is live, and what is free and not returned yet"},
	}, nil
}

// diskOfBatches compares the bytes on disk with the bytes sent.
func diskOfBatches(_ context.Context, p *prey) ([]Figure, error) {
	var size int64
	err := filepath.WalkDir(p.dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return []Figure{{"bytes on disk per byte sent", float64(size) / float64(max(p.tally.Sent, 1)), "about 1"}}, err
}

const ownKeyPath = "/publish?channel=orders"

// ownKey publishes with a key, which ownKeyHonoured repeats after the attack.
func ownKey(ctx context.Context, p *prey) error {
	_, err := p.post(ctx, ownKeyPath, "order 17", "Idempotency-Key", "order-17")
	return err
}

func ownKeyHonoured(ctx context.Context, p *prey) ([]Figure, error) {
	_, h, _, err := p.ask(ctx, "POST", ownKeyPath, "order 17", "Idempotency-Key", "order-17")
	return []Figure{{"honest key honoured", truth(h.Get("Idempotency-Replayed") == "true"), "1"}}, err
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// subscribe opens an event stream as an honest client and returns when its first
// byte arrives. The connection must not be used for longer than within.
func (p *prey) subscribe(ctx context.Context, d net.Dialer, query string, within time.Duration) (net.Conn, error) {
	conn, err := d.DialContext(ctx, "tcp4", p.Addr)
	if err != nil {
		return nil, err
	}
	err = conn.SetDeadline(time.Now().Add(within))
	if err == nil {
		_, err = fmt.Fprintf(conn, "GET /sse?%s HTTP/1.1\r\nHost: %s\r\n\r\n", query, p.Addr)
	}
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// disconnectWorks disconnects an honest client by its identity.
func disconnectWorks(ctx context.Context, p *prey) ([]Figure, error) {
	conn, err := p.subscribe(ctx, net.Dialer{}, "channel=home&client=ann", 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	status, _, b, err := p.ask(ctx, "POST", "/disconnect?client=ann", "")
	var response struct{ Disconnected int }
	_ = json.Unmarshal(b, &response) // a refusal disconnects nobody
	return []Figure{{"honest client disconnected", truth(status == 200 && response.Disconnected == 1), "1"}}, err
}

// memberListed looks for a new client in the list of members.
func memberListed(ctx context.Context, p *prey) ([]Figure, error) {
	conn, err := p.subscribe(ctx, net.Dialer{}, "channel=home&client=ann", 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_, _, b, err := p.ask(ctx, "GET", "/channels/home/presence", "")
	return []Figure{{"honest member listed", truth(bytes.Contains(b, []byte(`"ann"`))), "1"}}, err
}

func rememberCursor(ctx context.Context, p *prey) error {
	b, err := p.post(ctx, "/publish?channel=orders", "x")
	var response struct{ Cursor string }
	if err == nil {
		err = json.Unmarshal(b, &response)
	}
	p.cursor = response.Cursor
	return err
}

// falseGaps resumes on unused channels, where no message can be missing.
func falseGaps(ctx context.Context, p *prey) ([]Figure, error) {
	const asked = 200
	gaps := 0
	for i := range asked {
		_, _, b, err := p.ask(ctx, "GET", "/channels/never-"+strconv.Itoa(i)+"/history?cursor="+p.cursor, "")
		if err != nil {
			return nil, err
		}
		gaps += int(truth(bytes.Contains(b, []byte(`"gap"`))))
	}
	return []Figure{{"false gaps of 200", float64(gaps), "0"}}, nil
}

// staller subscribes and then reads nothing, like an honest client without network.
func staller(ctx context.Context, p *prey) error {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		control := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
		return errors.Join(control, err)
	}}
	conn, err := p.subscribe(ctx, d, "channel=tunnel", 2*time.Minute)
	if err != nil {
		return err
	}
	p.stall = conn
	for range stallMessages { // far more than the sockets hold
		if _, err := p.post(ctx, "/publish?channel=tunnel", strings.Repeat("x", stallBytes)); err != nil {
			return err
		}
	}
	_, err = p.post(ctx, "/publish?channel=tunnel", stallEnd)
	return err
}

const (
	stallMessages = 200
	stallBytes    = 50_000
	stallEnd      = "the last one"
)

// stallerKept reads the stream of the staller up to the last message.
func stallerKept(_ context.Context, p *prey) ([]Figure, error) {
	defer p.stall.Close()
	// With the small buffer the rest would arrive at 20 KB per second.
	if err := errors.Join(p.stall.(*net.TCPConn).SetReadBuffer(4<<20), p.stall.SetDeadline(time.Now().Add(20*time.Second))); err != nil {
		return nil, err
	}
	var tail []byte
	buffer := make([]byte, 64<<10)
	var err error
	for err == nil && !bytes.Contains(tail, []byte(stallEnd)) {
		var n int
		n, err = p.stall.Read(buffer)
		tail = append(tail[max(0, len(tail)-100):], buffer[:n]...)
	}
	return []Figure{{"honest stalled client kept", truth(bytes.Contains(tail, []byte(stallEnd))), "1"}}, nil
}

// hostileSource is the first address of the hostile clients. The honest clients use
// 127.0.0.1.
const hostileSource = "127.0.0.66"

// spec describes the hostile clients.
func (a *Attack) spec(s Size, p *prey) hostile.Spec {
	h := hostile.Spec{Addr: cmp.Or(p.secure, p.Addr), Kinds: []string{a.Kind}, Clients: cmp.Or(a.Clients, s.Clients), Connections: cmp.Or(a.Connections, s.Connections), Cursor: p.cursor, Read: a.Read, Channels: s.Channels, Messages: 200}
	if s.Sources > 0 {
		h.Source, h.Sources = hostileSource, s.Sources
	}
	return h
}

// crowd returns the specs of the crowd, with the server's address.
func (a *Attack) crowd(p *prey) []loadtest.Spec {
	all := slices.Clone(a.Crowd)
	for i := range all {
		all[i].Addr, all[i].Kind = p.Addr, loadtest.Epoll
	}
	return all
}
