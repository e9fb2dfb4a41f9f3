package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loadtest/liar"
)

// oddities are legal ways to speak, each of which has been taken for a loss.
var oddities = map[string]liar.Oddity{
	"plain":                    {},
	"interim responses":        {Interim: true},
	"chunked":                  {Chunked: true},
	"HTTP/1.0":                 {Old: true},
	"close after each":         {Close: 1},
	"close after three":        {Close: 3},
	"end unsaid after three":   {HangUp: 3},
	"408 after three":          {HangUp: 3, Timeout: true},
	"fragments":                {Fragments: true},
	"CR":                       {Lines: "\r"},
	"CRLF, a mark, no spaces":  {Lines: "\r\n", Mark: true, Tight: true},
	"byte by byte":             {Pieces: 1, Lines: "\r\n", Mark: true},
	"byte by byte, CR":         {Pieces: 1, Lines: "\r", Mark: true, Chunked: true, Interim: true, Fragments: true},
	"three bytes, old, close":  {Pieces: 3, Old: true, Tight: true},
	"chunked, in five, to end": {Pieces: 5, Chunked: true, Interim: true, Close: 2},
	"folded heads":             {Heads: true, Interim: true},
	"fields of all kinds":      {Fields: true, Lines: "\r\n", Chunked: true, Pieces: 7},
	"JSON at leisure":          {Spaced: true, Heads: true, Pieces: 11},
}

// securedOddities are tried with TLS too.
var securedOddities = []string{"plain", "close after three", "end unsaid after three", "byte by byte, CR", "chunked, in five, to end"}

// ways are all that subscribers can be.
var ways = []Spec{
	{Transport: WebSocket},
	{Transport: WebSocket, Kind: GWS},
	{Transport: WebSocket, Format: JSON},
	{Transport: SSE},
	{Transport: SSE, Resume: true},
	{Transport: SSE, Format: JSON, Resume: true},
	{Transport: Poll},
	{Transport: Poll, Format: Raw},
	{Transport: Poll, Resume: true, Requests: []string{"/", "/"}},
}

// oddRun lets few messages go through an odd server.
func oddRun(t *testing.T, way Spec, o liar.Oddity, settle time.Duration) Result {
	t.Helper()
	s := liar.StartOdd(t, o)
	way.Addr, way.Connections = s.Addr, 3
	to := PublishTarget{Endpoint: Endpoint{Addr: s.Addr}, Path: func(int) string { return "/publish" }}
	if o.TLS != nil {
		to.TLS = &TLS{Insecure: true}
		way.TLS = to.TLS
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pool, opened, err := OpenPool(ctx, way)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := opened.Err(); err != nil {
		t.Fatal(err)
	}
	p, err := DialPublisher(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := Run(ctx, pool, p, Load{Pacer: Rate(100), Length: 200 * time.Millisecond, Size: 150, Settle: settle, Excuse: o.HangUp > 0 && !o.Timeout, Overrun: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Published == 0 {
		t.Fatal("nothing was published")
	}
	return r
}

func TestOddButLegalServersLoseNothing(t *testing.T) {
	secured := newAuthority(t).server("localhost")
	for name, o := range oddities {
		for _, way := range ways {
			for _, config := range []*tls.Config{nil, secured} {
				if o.TLS = config; config != nil && !slices.Contains(securedOddities, name) {
					continue
				}
				t.Run(fmt.Sprintf("%s/transport=%s,kind=%s,format=%s,resume=%t,tls=%t", name, way.Transport, way.Kind, way.Format, way.Resume, config != nil), func(t *testing.T) {
					t.Parallel()
					r := oddRun(t, way, o, 20*time.Second)
					// Where a connection ends unsaid, a POST on its way may be nobody's.
					mayRefuse := o.HangUp > 0 && !o.Timeout
					if !r.Complete || !r.Clean() || r.Closed != 0 || r.Refused != 0 && !mayRefuse || r.Unreadable != 0 || r.Misread != 0 {
						t.Errorf("complete: %t, %+v, %d closed, %d refused (%v), %d unreadable (%s)", r.Complete, r.Counts, r.Closed, r.Refused, r.Reason, r.Unreadable, r.Unread)
					}
				})
			}
		}
	}
}

// What the load test cannot read is its own limit: nothing is lost by it.
func TestWhatCannotBeReadIsNotLost(t *testing.T) {
	for _, c := range []struct {
		way     Spec
		garbage string
	}{
		{Spec{Transport: WebSocket}, "\xc1\x01x"},                 // a reserved bit
		{Spec{Transport: WebSocket}, "\x81\x81\x00\x00\x00\x00x"}, // masked
		{Spec{Transport: WebSocket}, "\x80\x01x"},                 // a continuation of nothing
		{Spec{Transport: WebSocket}, "\x09\x00"},                  // a ping in fragments
		{Spec{Transport: WebSocket, Kind: GWS}, "\xc1\x01x"},
		{Spec{Transport: Poll}, "HTTP/2.0 hello\r\n\r\n"},
		{Spec{Transport: Poll}, "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx"},
		{Spec{Transport: Poll}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"}, // no cursor
		{Spec{Transport: Poll, Resume: true}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
	} {
		t.Run(fmt.Sprintf("%s %s %.12q", c.way.Transport, c.way.Kind, c.garbage), func(t *testing.T) {
			t.Parallel()
			r := oddRun(t, c.way, liar.Oddity{Garbage: c.garbage}, 300*time.Millisecond)
			if r.Unreadable != 3 || r.Lost != 0 || r.Expected != r.Delivered || !strings.Contains(r.Unread, ErrUnreadable.Error()) {
				t.Errorf("%d unreadable (%s), %+v; want all three, and nothing lost", r.Unreadable, r.Unread, r.Counts)
			}
		})
	}
}

func TestResponsesThatCannotBeReadAreNotRefusals(t *testing.T) {
	r := oddRun(t, Spec{Transport: SSE}, liar.Oddity{BadAnswer: "HTTP/1.1 hello there\r\n\r\n"}, 300*time.Millisecond)
	if r.Misread == 0 || r.Lost != 0 || !errors.Is(r.Reason, ErrUnreadable) {
		t.Errorf("%d misread, %d lost, %v", r.Misread, r.Lost, r.Reason)
	}
}

func TestFloodThroughConnectionsThatEnd(t *testing.T) {
	for name, o := range oddities {
		if o.HangUp > 0 { // Flood has no second try
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := liar.StartOdd(t, o)
			pool, opened, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: s.Addr}, Transport: SSE, Connections: 1})
			if err = errors.Join(err, opened.Err()); err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			r, err := Flood(t.Context(), pool, FloodLoad{Addr: s.Addr, Path: func(int) string { return "/publish" }, Connections: 1, Streams: 1, Size: 64, Length: time.Minute, Messages: 8})
			if err != nil || !r.Clean() || r.Published != 8 || r.Delivered != 8 {
				t.Errorf("%d published, %d delivered, want 8; %v", r.Published, r.Delivered, err)
			}
		})
	}
}

func TestPublisherGoesOnOverAnotherConnection(t *testing.T) {
	for name, o := range oddities {
		if o.HangUp > 0 { // a POST is not repeated
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := liar.StartOdd(t, o)
			p, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: s.Addr}, Path: func(int) string { return "/publish" }})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for i := range 7 {
				answer, err := p.Publish(0, []byte("x"))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := string(answer), fmt.Sprintf(`{"cursor":"%d"}`, i+1); got != want {
					t.Errorf("answer %s, want %s", got, want)
				}
			}
		})
	}
}

// A publisher whose upgrade is refused is an error, no panic.
func TestRefusedUpgradeOfAPublisherIsAnError(t *testing.T) {
	s := liar.StartOdd(t, liar.Oddity{})
	for _, path := range []string{"/elsewhere", "/publish"} {
		_, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: s.Addr}, WebSocket: true, Path: func(int) string { return path }})
		if err == nil || !strings.Contains(err.Error(), "upgrade refused") {
			t.Errorf("to %s: %v", path, err)
		}
	}
	p, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: liar.StartOdd(t, liar.Oddity{Interim: true, Pieces: 1}).Addr}, WebSocket: true, Path: func(int) string { return "/ws" }})
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Close() // always nil
}
