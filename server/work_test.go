package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"peal/loop/frame"
	"peal/server"
)

// clientFrame is a text frame, or one of another opcode, as a client sends it. Its
// mask is 0, so its payload stands there as it is.
func clientFrame(first byte, payload string) string {
	if len(payload) < 126 {
		return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	return string([]byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}) + payload
}

// Whatever a client sends, and however much of it at once, one callback of its
// loop does no more than a turn may do and one item.
func TestHostileInputStaysWithinATurn(t *testing.T) {
	const turnWork, turnSends, item = 400, 64, 1000
	config := server.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)}
	config.Loop.Loops, config.Loop.TurnWork, config.Loop.TurnSends = 1, turnWork, turnSends
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})

	const channels = 127
	var query, list, batch []string
	for i := range channels {
		query, list = append(query, fmt.Sprintf("channel=deep-%d", i)), append(list, fmt.Sprintf(`"deep-%d"`, i))
		for range 7 {
			batch = append(batch, fmt.Sprintf(`{"channel":"deep-%d","data":"0123456789"}`, i))
		}
	}
	names := strings.Join(query, "&")
	post := func(path, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }
	upgrade := func(path, protocol string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n"
	}
	command := func(format string, args ...any) string {
		return clientFrame(0x80|byte(frame.OpText), fmt.Sprintf(format, args...))
	}
	all := strings.Join(list, ",")
	v1 := upgrade("/ws", "peal.v1")

	// Everything the client sends is taken before its end is: then the server ends too.
	exchange := func(t *testing.T, sent string) {
		c, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, c)
			read <- err
		}()
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		c.(*net.TCPConn).CloseWrite()
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		exchange(t, post("/publish/batch", `{"messages":[`+strings.Join(batch, ",")+`]}`))
	}
	for _, kind := range []struct {
		name, first, each string
		n                 int
	}{
		{"pings", v1, clientFrame(0x80|byte(frame.OpPing), ""), 5000},
		{"not JSON", v1, command("hello"), 3000},
		{"subscribe and unsubscribe", v1, command(`{"id":1,"command":"subscribe","channel":"x"}`) + command(`{"id":2,"command":"unsubscribe","channel":"x"}`), 500},
		{"foreign cursors", v1, command(`{"id":1,"command":"subscribe","channel":[%s],"cursor":"nobodys"}`, all) + command(`{"id":2,"command":"unsubscribe","channel":[%s]}`, all), 20},
		{"the last of many", v1, command(`{"id":1,"command":"subscribe","channel":[%s],"last":1000}`, all) + command(`{"id":2,"command":"unsubscribe","channel":[%s]}`, all), 20},
		{"published by command", v1, command(`{"id":1,"command":"publish","channel":[%s],"data":"x"}`, strings.ReplaceAll(all, "deep", "wide")), 20},
		{"raw messages", upgrade("/ws?channel=raw", "peal.raw"), clientFrame(0x80|byte(frame.OpText), "x"), 3000},
		{"cheap requests", "", get("/nowhere"), 1000},
		{"the page", "", get("/"), 100},
		{"one channel", "", get("/channels/deep-1"), 1000},
		{"publish", "", post("/publish?channel=p", "x"), 500},
		{"publish to many", "", post("/publish?"+strings.ReplaceAll(names, "deep", "wide"), "x"), 20},
		{"poll from the earliest", "", get("/poll?" + names + "&cursor=earliest"), 20},
		{"poll for the last", "", get("/poll?" + names + "&last=1000"), 20},
		{"poll with a foreign cursor", "", get("/poll?" + names + "&cursor=nobodys"), 20},
	} {
		t.Run(kind.name, func(t *testing.T) {
			exchange(t, kind.first+strings.Repeat(kind.each, kind.n))
			stats, err := s.LoopStats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if most := uint64(turnWork + 4*turnSends + item); stats[0].LongestWork > most {
				t.Errorf("a callback did %d units of work, want at most %d", stats[0].LongestWork, most)
			}
			t.Logf("longest %d, work %d, deferred %d", stats[0].LongestWork, stats[0].Work, stats[0].Deferred)
		})
	}
}
