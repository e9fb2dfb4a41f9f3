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
