package endtoend_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/rules"
)

// stream opens an event stream over a connection of its own, and returns the head of the
// response.
func (p *peal) stream(query string, header ...string) (*wire, http.Header) {
	p.t.Helper()
	w := p.dial().send("GET /sse?" + query + " HTTP/1.1\r\n" + hostLine + strings.Join(header, "\r\n") + "\r\n\r\n")
	response, err := http.ReadResponse(w.r, &http.Request{Method: "GET"})
	if err != nil {
		p.t.Fatal(err)
	}
	return w, response.Header
}

const acceptGzip = "Accept-Encoding: gzip\r\n"

// readUntil reads from r until the text is there, and returns all that came.
func readUntil(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	var all []byte
	b := make([]byte, 4096)
	for !strings.Contains(string(all), text) {
		n, err := r.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			t.Fatalf("%v, %q is missing after %.300q", err, text, all)
		}
	}
	return string(all)
}

// Each event arrives by itself, as the same bytes as without compression, and the stream
// ends with the right checksum and length, which the standard library checks.
func TestGzipOfEventStreams(t *testing.T) {
	p := compressing(t, 100, func(c *server.Config) { c.Loop.Heartbeat = time.Second; c.Drain = patience })
	long := strings.Repeat("all work and no play ", 40)
	for _, query := range []string{"channel=a", "channel=a&format=raw", "channel=a&channel=b&presence=1&client=jack", "channel=a&cursor=zzz-1"} {
		plain, head := p.stream(query)
		if head.Get("Content-Encoding") != "" || strings.Join(head.Values("Vary"), ",") != "Origin,Accept-Encoding" {
			t.Errorf("%s: plain, %v", query, head)
		}
		packed, head := p.stream(query, "Accept-Encoding: br;q=1, gzip;q=0.8, *;q=0.1")
		if head.Get("Content-Encoding") != "gzip" || strings.Join(head.Values("Vary"), ",") != "Origin,Accept-Encoding" || head.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%s: gzip, %v", query, head)
		}
		z, err := gzip.NewReader(packed.r)
		if err != nil {
			t.Fatal(err)
		}
		first, again := readUntil(t, z, "retry: "), readUntil(t, plain.r, "retry: ")
		if strings.Contains(query, "zzz") && (!strings.Contains(first, "event: gap") || !strings.Contains(again, "event: gap")) {
			t.Errorf("%s: no gap in %q, %q", query, first, again)
		}
		for i := range 6 {
			text := fmt.Sprint("message ", i, " of ", query, " ")
			if i%2 == 0 {
				text += long
			}
			p.publish("a", text)
			a, b := readUntil(t, z, text), readUntil(t, plain.r, text)
			if i > 2 && !strings.Contains(a, "peal.cursor") && !strings.Contains(b, "peal.cursor") && a != b {
				t.Errorf("%s: %.200q, want %.200q", query, a, b)
			}
		}
		readUntil(t, z, "event: peal.cursor") // a heartbeat
		plain.conn.Close()
		packed.conn.Close()
	}
	// The end of a drain, after heartbeats, with messages of before.
	var ends []*wire
	for i := range 5 {
		w, _ := p.stream(fmt.Sprintf("channel=a&last=%d", i), acceptGzip[:len(acceptGzip)-2])
		ends = append(ends, w)
	}
	p.publish("a", long)
	p.stop()
	for i, w := range ends {
		z, err := gzip.NewReader(w.r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z) // gzip.ErrChecksum, io.ErrUnexpectedEOF
		if err != nil || !strings.Contains(string(b), long) || strings.Count(string(b), "retry: ") != 2 {
			t.Errorf("stream %d: %v after %.300q", i, err, b)
		}
	}
}

// A client that ends its side gets the end of its stream, too.
func TestGzipEndsWhereTheClientEndsItsSide(t *testing.T) {
	p := compressing(t, 100)
	long := strings.Repeat("all work and no play ", 40)
	w, _ := p.stream("channel=a", acceptGzip[:len(acceptGzip)-2])
	z, err := gzip.NewReader(w.r)
	if err != nil {
		t.Fatal(err)
	}
	p.publish("a", long)
	readUntil(t, z, long)
	if err := w.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil {
		t.Errorf("%v after %.300q", err, b)
	}
}

// By Accept-Encoding and by the rule of the channel.
func TestGzipIsNegotiated(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Channels = []rules.Rule{{Match: "a", Deflate: rules.Yes}}
	})
	for accept, want := range map[string]bool{
		"gzip": true, "GZIP": true, "x-gzip": true, "*": true, "gzip, deflate, br": true, "gzip;q=0.001": true, "deflate, gzip;q=1.0": true, "*;q=0.5, identity;q=0": true, "gzip;q=1, identity;q=1": true,
		"": false, "identity": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "*;q=0": false, "gzip;q=0, *": false, "deflate": false, "gzip;q=0.5, identity": false, "identity;q=0.5, gzip;q=0.2": false, "*;q=0, identity;q=0": false, "gzip;q=x": false,
	} {
		w, head := p.stream("channel=a", "Accept-Encoding: "+accept)
		if got := head.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("Accept-Encoding %q: gzip %v", accept, got)
		}
		w.conn.Close()
		w, head = p.stream("channel=b", "Accept-Encoding: "+accept)
		if head.Get("Content-Encoding") != "" || strings.Join(head.Values("Vary"), ",") != "Origin" {
			t.Errorf("a channel without compression: %v", head)
		}
		w.conn.Close()
	}
	w := p.dial().send("HEAD /sse?channel=a HTTP/1.1\r\n" + hostLine + acceptGzip + "\r\n")
	if a := w.answer("HEAD"); a.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("HEAD: %v", a.header)
	}
	w.ended("HEAD")
}

// Clients that read compressed streams by themselves: each event as it comes, and the end
// without a complaint about checksum or length.
func TestGzipWithOtherClients(t *testing.T) {
	const script = `
const http = require('node:http'), zlib = require('node:zlib')
http.get(process.argv[1], { headers: { 'Accept-Encoding': 'gzip' } }, r => {
	if (r.headers['content-encoding'] !== 'gzip') throw new Error('not compressed')
	r.pipe(zlib.createGunzip()).on('data', d => process.stdout.write(d)).on('error', e => { console.error(e); process.exit(1) })
})`
	for name, command := range map[string][]string{
		"php":   {"php", "testdata/gzip.php"},
		"curl":  {"curl", "-sSN", "--compressed"},
		"node":  {"node", "-e", script},
		"fetch": {"node", "-e", `fetch(process.argv[1]).then(async r => { for await (const b of r.body) process.stdout.write(b) })`},
	} {
		t.Run(name, func(t *testing.T) {
			p := compressing(t, 1, func(c *server.Config) { c.Drain = patience })
			c := exec.Command(tool(t, command[0]), append(command[1:], "http://"+p.addr+"/sse?channel=a")...)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var complaint bytes.Buffer
			c.Stderr = &complaint
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			readUntil(t, out, "peal.cursor")
			for i := range 5 {
				p.publish("a", strings.Repeat(fmt.Sprint("text ", i, " "), 50))
				readUntil(t, out, fmt.Sprint("text ", i, " \n"))
			}
			p.stop()
			rest, _ := io.ReadAll(out)
			if err := c.Wait(); err != nil || complaint.Len() > 0 || !strings.HasPrefix(string(rest), "retry: ") {
				t.Errorf("%v, %s, after %q", err, complaint.String(), rest)
			}
		})
	}
}

// A response to a poll is compressed as a whole, if it is long enough and all of its
// channels allow it.
func TestGzipOfPolls(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.DeflateMinBytes = 200
		c.Channels = []rules.Rule{{Match: "news*", Deflate: rules.Yes}}
	})
	long := strings.Repeat("all work and no play ", 400)
	cursor := p.publish("news", "short")
	for range 3 {
		p.publish("news", long)
		p.publish("other", long)
	}
	for _, c := range []struct {
		query  string
		gzip   bool
		length int // of the body, 0 for any
	}{
		{"channel=news&cursor=" + cursor, true, 0},
		{"channel=news&channel=news2&cursor=" + cursor, true, 0},
		{"channel=news&format=raw&cursor=" + cursor, true, len(long)},
		{"channel=news&last=0&timeout=1s", false, 0},
		{"channel=news&channel=other&cursor=" + cursor, false, 0},
		{"channel=other&cursor=" + cursor, false, 0},
	} {
		var bodies [2]string
		for i, accept := range []string{"identity", "gzip"} {
			w := p.dial()
			for range 2 { // keep-alive
				w.send("GET /poll?" + c.query + " HTTP/1.1\r\n" + hostLine + "Accept-Encoding: " + accept + "\r\n\r\n")
				a := w.want("GET", 200)
				bodies[i] = string(a.body)
				if got := a.header.Get("Content-Encoding") == "gzip"; got != (c.gzip && i == 1) {
					t.Fatalf("%s, %s: %v", c.query, accept, a.header)
				} else if got {
					if z, err := gzip.NewReader(bytes.NewReader(a.body)); err != nil {
						t.Fatal(err)
					} else if b, err := io.ReadAll(z); err != nil {
						t.Fatal(err)
					} else {
						bodies[i] = string(b)
					}
					if !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Accept-Encoding") || len(a.body) > len(bodies[i])/5 {
						t.Errorf("%s: %d bytes of %d, %v", c.query, len(a.body), len(bodies[i]), a.header)
					}
				}
				h := w.send("HEAD /poll?"+c.query+" HTTP/1.1\r\n"+hostLine+"Accept-Encoding: "+accept+"\r\n\r\n").want("HEAD", 200)
				if h.header.Get("Content-Length") != a.header.Get("Content-Length") || h.header.Get("Content-Encoding") != a.header.Get("Content-Encoding") {
					t.Errorf("%s: HEAD %v, GET %v", c.query, h.header, a.header)
				}
			}
			w.conn.Close()
		}
		if bodies[0] != bodies[1] || c.length > 0 && len(bodies[0]) != c.length {
			t.Errorf("%s: %.200q, compressed %.200q", c.query, bodies[0], bodies[1])
		}
	}
}

// Polls that wait share a compressed response, and one that is long ends early.
func TestGzipOfWaitingPolls(t *testing.T) {
	p := compressing(t, 1)
	long := strings.Repeat("all work and no play ", 3000) // 63,000 B
	from := p.publish("a", "first")
	var waiting []*wire
	for range 5 {
		waiting = append(waiting, p.dial().send("GET /poll?channel=a&cursor="+from+" HTTP/1.1\r\n"+hostLine+acceptGzip+"\r\n"))
	}
	p.awaitSubscribers("a", 5)
	p.publish("a", "second")
	for _, w := range waiting {
		z, err := gzip.NewReader(bytes.NewReader(w.want("GET", 200).body))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(z); err != nil || !strings.Contains(string(b), `"data":"second"`) {
			t.Errorf("%v, %q", err, b)
		}
	}
	for range 10 {
		p.publish("a", long)
	}
	a := p.do("GET", "/poll?channel=a&cursor="+from, "")
	if n := strings.Count(string(a.body), `"channel":"a"`); n < 2 || n > 3 { // client of net/http: it asks for gzip
		t.Errorf("%d messages in a compressed response", n)
	}
}
