package endtoend_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/server"
)

// halfClosed sends requests on one connection, ends that side of it, and returns
// the responses until the server ends the other.
func (p *peal) halfClosed(requests ...string) (all []answer) {
	p.t.Helper()
	c, err := p.connect()
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, strings.Join(requests, "")); err != nil {
		p.t.Fatal(err)
	}
	if err := endSide(c); err != nil {
		p.t.Fatal(err)
	}
	for r := bufio.NewReader(c); ; {
		if _, err := r.Peek(1); err == io.EOF {
			return all
		}
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			p.t.Fatalf("response %d: %v", len(all)+1, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			p.t.Fatalf("response %d: %v", len(all)+1, err)
		}
		all = append(all, answer{response.StatusCode, response.Header, body, response.Close})
	}
}

// A client that ends its side of the connection behind its requests, as nc -N
// does, is answered on every route and with both logs.
func TestHalfClosedClientIsAnsweredOnEveryRoute(t *testing.T) {
	request := func(method, path, contentType, body string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, contentType, len(body), body)
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }
	const multipart = "--x\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nhc\r\n--x\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nhi\r\n--x--\r\n"
	routes := map[string]string{
		"publish":           request("POST", "/publish?channel=hc", "text/plain", "hi"),
		"publish with key":  "POST /publish?channel=hc HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\nhi",
		"publish in chunks": "POST /publish?channel=hc HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"publish a form":    request("POST", "/publish", "application/x-www-form-urlencoded", "channel=hc&data=hi"),
		"publish JSON":      request("POST", "/publish", "application/json", `{"channel":"hc","data":"hi"}`),
		"publish multipart": request("POST", "/publish", "multipart/form-data; boundary=x", multipart),
		"batch":             request("POST", "/publish/batch", "application/json", `{"messages":[{"channel":"hc","data":"x"},{"channel":"hc","data":"y","idempotency_key":"b"}]}`),
		"disconnect":        request("POST", "/disconnect?client=nobody", "text/plain", ""),
		"channels":          get("/channels"),
		"channel":           get("/channels/hc"),
		"history":           get("/channels/hc/history"),
		"presence":          get("/channels/hc/presence"),
		"poll, held":        get("/poll?channel=quiet"),
		"poll, answered":    get("/poll?channel=hc&cursor=earliest"),
		"page":              get("/"),
		"script":            get("/peal.js"),
		"HTTP/1.0":          "GET /channels HTTP/1.0\r\n\r\n",
	}
	for _, engine := range []string{"memory", "file"} {
		t.Run(engine, func(t *testing.T) {
			p := startWith(t, func(c *server.Config) {
				if engine == "file" {
					c.Engine = "file:" + filepath.Join(t.TempDir(), "log")
				}
			})
			p.publish("hc", "something to find")
			var all []string
			for name, r := range routes {
				for range 5 {
					if got := p.halfClosed(r); len(got) != 1 || got[0].status != 200 {
						t.Fatalf("%s: responses %+v, want one with 200", name, got)
					}
				}
				if name != "HTTP/1.0" {
					all = append(all, r)
				}
			}
			got := p.halfClosed(all...)
			for i, a := range got {
				if a.status != 200 {
					t.Errorf("response %d of all at once: %d %s", i+1, a.status, a.body)
				}
			}
			if len(got) != len(all) {
				t.Errorf("%d responses to %d requests on one connection", len(got), len(all))
			}
			if a := p.halfClosed(routes["channel"], "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhal"); len(a) != 2 || a[1].status != 400 {
				t.Errorf("half a request: responses %+v, want the second with 400", a)
			}
			if a := p.halfClosed(routes["channel"], "\r\n"); len(a) != 1 {
				t.Errorf("an empty line at the end: %d responses, want 1", len(a))
			}
		})
	}
}

// A held poll of a client that half-closes, or of a tab that was closed, is no
// longer on its channel and no longer present.
func TestHalfClosedPollLeaves(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.Presence.Grace = 1 })
	cursor := p.publish("room", "first")
	c, err := p.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /poll?channel=room&client=ann&cursor=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", cursor)
	p.awaitSubscribers("room", 1)
	if err := endSide(c); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") || !strings.HasSuffix(string(b), `{"cursor":"`+cursor+`","messages":[]}`) {
		t.Errorf("%v, %s, want 200, the cursor and no message", err, b)
	}
	p.awaitSubscribers("room", 0)
	p.await("nobody present", func() bool {
		return strings.Contains(string(p.do("GET", "/channels/room/presence", "").body), `"members":[]`)
	})
}
