package endtoend_test

import (
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server"
)

// report is what testdata/transports.html says it received.
type report struct {
	Websocket, Eventsource, Poll, Ready []string
}

// site serves the page, which talks to the server at addr from this other
// origin, and hands on its reports, the newest last.
type site struct {
	t       *testing.T
	url     string
	reports chan report
}

func serveSite(t *testing.T, addr string) *site {
	t.Helper()
	page, err := template.ParseFiles("testdata/transports.html")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, reports: make(chan report, 1024)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, addr); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // the browser was ended
		}
		s.reports <- decode[report](t, b)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL + "/"
	return s
}

// until reads reports until one is right.
func (s *site) until(what string, right func(report) bool) (last report) {
	s.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case last = <-s.reports:
			if right(last) {
				return last
			}
		case <-limit:
			s.t.Fatalf("waited for: %s; the page has %+v", what, last)
		}
	}
}

func TestBrowserReceivesOnAllTransports(t *testing.T) { receivesOnAllTransports(t, start(t)) }

// The same with compression, which browsers offer on all transports, and a restart.
func TestBrowserReceivesCompressedMessages(t *testing.T) {
	t.Parallel() // it waits most of the time
	receivesOnAllTransports(t, compressing(t, 1))
	toldOfTheGapAfterARestart(t, func(addr string) *peal {
		return compressing(t, 1, func(c *server.Config) { c.Listen = []string{addr} })
	})
}

func receivesOnAllTransports(t *testing.T, p *peal) {
	tool(t, "chromium")
	s := serveSite(t, p.addr)
	c := browse(t, s.url)
	s.until("WebSocket and EventSource are open", func(r report) bool {
		return slices.Contains(r.Ready, "websocket") && slices.Contains(r.Ready, "eventsource")
	})

	p.publishTo("/publish", "hello") // as curl -d does
	p.publishTo("/publish?event=price", "12.50", "Content-Type: text/plain")
	p.publish("main", "grüße 🔔\nsecond line")
	p.publishTo("/publish", "\xff\x00\x01", "Content-Type: application/octet-stream")
	c.evaluate(`socket.send('from the page')`)
	c.until(`got.websocket.includes('from the page')`) // send only queues it
	p.publish("elsewhere", "not subscribed")
	// What a page may do itself, over the same origin rules.
	c.evaluate(`fetch('http://' + peal + '/publish', {method: 'POST', body: 'by fetch'}).then(r => r.json())`)
	c.evaluate(`socket.send(new Uint8Array([1, 2, 250]))`)
	c.until(`got.websocket.includes('binary 1 2 250')`)
	p.publish("main", "end")

	r := s.until("all messages on all transports", func(r report) bool {
		return slices.Contains(r.Websocket, "end") && slices.Contains(r.Eventsource, "end") && slices.Contains(r.Poll, "end")
	})
	for transport, c := range map[string]struct{ got, want []string }{
		"WebSocket":   {r.Websocket, []string{"hello", "12.50", "grüße 🔔\nsecond line", "binary 255 0 1", "from the page", "by fetch", "binary 1 2 250", "end"}},
		"EventSource": {r.Eventsource, []string{"hello", "price: 12.50", "grüße 🔔\nsecond line", "/wAB", "from the page", "by fetch", "AQL6", "end"}},
		"poll":        {r.Poll, []string{"hello", "price: 12.50", "grüße 🔔\nsecond line", "base64 /wAB", "from the page", "by fetch", "base64 AQL6", "end"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s received %q, want %q", transport, c.got, c.want)
		}
	}

	// What only a browser can tell: it fails a connection on which the server
	// selects none of the subprotocols, and hides every refusal but a close frame.
	const ended = `new Promise(done => { const s = new WebSocket('ws://' + peal + '/ws' + %q, %s);
		s.onopen = () => { if (s.protocol) done(s.protocol); };
		s.onclose = e => done(e.code + ' ' + e.reason.split(':')[0]); })`
	for _, w := range []struct{ query, protocols, want string }{
		{"", "'peal.raw'", "peal.raw"},
		{"", "['chat', 'peal.raw']", "peal.raw"},
		{"?format=xml", "[]", "4400 bad_format"},
		{"?channel=$x", "[]", "4403 reserved_channel"},
		{"?cursor=old", "[]", "4409 messages after the cursor are gone"},
	} {
		if got := c.evaluate(fmt.Sprintf(ended, w.query, w.protocols)); got != w.want {
			t.Errorf("new WebSocket(/ws%s, %s) gives %q, want %q", w.query, w.protocols, got, w.want)
		}
	}
	if errors := c.errors("favicon"); len(errors) > 0 {
		t.Errorf("the browser complains: %q", errors)
	}
}

func TestBrowserIsToldOfTheGapAfterARestart(t *testing.T) {
	t.Parallel() // it waits most of the time
	toldOfTheGapAfterARestart(t, func(addr string) *peal { return startOn(t, addr) })
}

func toldOfTheGapAfterARestart(t *testing.T, startOn func(addr string) *peal) {
	tool(t, "chromium")
	p := startOn("127.0.0.1:0")
	s := serveSite(t, p.addr)
	browse(t, s.url)
	s.until("WebSocket and EventSource are open", func(r report) bool {
		return slices.Contains(r.Ready, "websocket") && slices.Contains(r.Ready, "eventsource")
	})
	p.publish("main", "before")
	s.until("the first message", func(r report) bool {
		return slices.Contains(r.Websocket, "before") && slices.Contains(r.Eventsource, "before") && slices.Contains(r.Poll, "before")
	})
	p.stop()
	p = startOn(p.addr) // a new log, in a new epoch
	p.publish("main", "missed")
	r := s.until("EventSource and poll have come back", func(r report) bool {
		return slices.Contains(r.Eventsource, "missed") && slices.Contains(r.Poll, "missed")
	})
	if want := []string{"before", "gap: main", "missed"}; !slices.Equal(r.Eventsource, want) {
		t.Errorf("EventSource received %q, want %q", r.Eventsource, want)
	}
	if want := []string{"before", "gap: main", "missed"}; !slices.Equal(r.Poll, want) {
		t.Errorf("the poll received %q, want %q", r.Poll, want)
	}
	if want := []string{"before", "closed 1001"}; !slices.Equal(r.Websocket, want) {
		t.Errorf("WebSocket received %q, want %q", r.Websocket, want)
	}
	p.publish("main", "after")
	s.until("live again", func(r report) bool {
		return slices.Contains(r.Eventsource, "after") && slices.Contains(r.Poll, "after")
	})
}

// TestOwnPageShowsAllTransports drives the page at / as a person would. With
// PEAL_E2E_SCREENSHOTS=dir it leaves pictures there.
func TestOwnPageShowsAllTransports(t *testing.T) {
	tool(t, "chromium")
	p := start(t)
	c := browse(t, p.url+"/")
	c.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false})
	const texts = `['ws', 'sse', 'poll'].map(id => document.getElementById(id).innerText)`
	c.until(`['ws', 'sse', 'poll'].every(id => document.querySelector('#' + id + ' small').className === 'good')`)
	p.awaitSubscribers("main", 3)

	p.publishTo("/publish", "from curl")
	c.until(texts + `.every(s => s.includes('from curl'))`)
	c.evaluate(`document.getElementById('data').value = 'from the form <b>&amp;'; document.querySelector('#publish button').click()`)
	c.until(texts + `.every(s => s.includes('from the form <b>&amp;'))`)
	c.until(`document.getElementById('result').value.includes('cursor')`)
	p.publishTo("/publish?event=price", "a named event", "Content-Type: text/plain")
	c.until(`['ws', 'poll'].every(id => document.getElementById(id).innerText.includes('a named event'))`)
	// EventSource cannot know the name: the page says so, and listens from now on.
	c.until(`document.querySelector('#sse .note').innerText.includes("addEventListener('price'")`)
	p.publishTo("/publish?event=price", "named once more", "Content-Type: text/plain")
	c.until(texts + `.every(s => s.includes('named once more'))`)
	c.until(`['sse', 'poll'].every(id => document.querySelector('#' + id + ' b').innerText === 'price')`)
	c.evaluate(`document.getElementById('event').value = 'goal'; document.getElementById('data').value = '2:1'; document.querySelector('#publish button').click()`)
	c.until(texts + `.every(s => s.includes('2:1'))`)
	if notes := c.evaluate(`document.querySelectorAll('.note').length`); notes != "1" {
		t.Errorf("%s notes, want the one about price", notes)
	}
	if !strings.Contains(c.evaluate(`document.getElementById('snippets').innerText`), p.addr) {
		t.Error("the snippets do not name this server")
	}

	dir := os.Getenv("PEAL_E2E_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, scheme := range []string{"light", "dark"} {
		c.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
		c.screenshot(filepath.Join(dir, scheme+".png"))
	}
	c.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true})
	c.screenshot(filepath.Join(dir, "phone.png"))
	c.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "light"}}})
	c.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false})

	c.evaluate(`const channel = document.getElementById('channel'); channel.value = 'A/ü & ?'; channel.dispatchEvent(new Event('change'))`)
	p.await("the other channel has its three subscribers", func() bool { return p.subscribers("A%2F%C3%BC%20&%20%3F") == 3 })
	p.awaitSubscribers("main", 0)
	p.publishTo("/publish?channel=A%2F%C3%BC+%26+%3F", "there", "Content-Type: text/plain")
	c.until(texts + `.every(s => s.includes('there') && !s.includes('from curl'))`)
	if errors := c.errors(); len(errors) > 0 {
		t.Errorf("the browser complains: %q", errors)
	}
	p.stop()
	c.until(`['ws', 'sse', 'poll'].every(id => document.querySelector('#' + id + ' small').className === 'bad')`)
	c.until(`document.querySelector('#ws ol').getBoundingClientRect().width > 100`) // a long reason leaves the messages their room
	c.screenshot(filepath.Join(dir, "gone.png"))
}
