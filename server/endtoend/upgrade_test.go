package endtoend_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heirID finds what messages begin with, in whatever form a client receives them.
var heirID = regexp.MustCompile(`#\d-\d{5}|` + last)

// tap follows one connection whose dialect it does not know. It keeps the messages it finds.
func tap(p *peal, opening string, gate <-chan struct{}) (*listener, func(string)) {
	p.t.Helper()
	w := p.dial()
	if gate != nil {
		conn, err := stallable.Dial("tcp", p.addr)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { conn.Close() })
		w.conn, w.r = conn, bufio.NewReader(conn)
	}
	w.send(opening)
	l := &listener{ended: make(chan struct{})}
	go func() { // ends with the connection, or after the last message
		defer close(l.ended)
		if gate != nil {
			<-gate
		}
		var kept []byte
		buffer := make([]byte, 4096)
		for {
			n, err := w.r.Read(buffer)
			kept = append(kept, buffer[:n]...)
			used := 0
			for _, at := range heirID.FindAllIndex(kept, -1) {
				used = at[1]
				if l.got = append(l.got, string(kept[at[0]:at[1]])); l.got[len(l.got)-1] == last {
					return
				}
			}
			if kept = kept[max(used, len(kept)-idBytes):]; err != nil {
				l.err = err
				return
			}
		}
	}()
	return l, func(more string) { w.send(more) }
}

// pollOn polls on one connection only.
func pollOn(p *peal, channel string) *listener {
	p.t.Helper()
	w := p.dial()
	l := &listener{ended: make(chan struct{}), kind: polling}
	go func() { // ends with the connection, or after the last message
		defer close(l.ended)
		for from := "earliest"; ; {
			if _, l.err = io.WriteString(w.conn, get("/poll?channel="+channel+"&cursor="+from)); l.err != nil {
				return
			}
			var r *http.Response
			if r, l.err = http.ReadResponse(w.r, &http.Request{Method: "GET"}); l.err != nil {
				return
			}
			var a polled
			if l.err = json.NewDecoder(r.Body).Decode(&a); l.err != nil || len(a.Gap) > 0 || r.Close {
				l.err = fmt.Errorf("status %d, gap %v, close %v: %w", r.StatusCode, a.Gap, r.Close, l.err)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body) // the rest is empty
			for _, m := range a.Messages {
				text := m.text()[:idBytes]
				if l.got = append(l.got, text); text == last {
					return
				}
			}
			from = a.Cursor
		}
	}()
	return l
}

// TestUpgradesAreNotNoticed: connections of all kinds, in all states, stay open while three
// processes follow one another, and receive each message once and in order.
func TestUpgradesAreNotNoticed(t *testing.T) {
	for _, engine := range []string{"memory", "file"} {
		t.Run(engine, func(t *testing.T) {
			if engine == "file" {
				engine += ":" + t.TempDir()
			}
			upgradesAreNotNoticed(t, engine)
		})
	}
}

func upgradesAreNotNoticed(t *testing.T, engine string) {
	h := launchHeirs(t, []string{"PUSHER_APP_ID=" + appID, "PUSHER_APP_KEY=" + appKey, "PUSHER_APP_SECRET=" + appSecret},
		"--log", engine, "--loops", "2", "--mercure-anonymous", "--history-messages", "5000", "--history-bytes", "8MiB", "--head-timeout", "5m")
	p := h.peal
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := newCrowd(ctx, p)
	gate := make(chan struct{})
	read := sync.OnceFunc(func() { close(gate) })
	defer read() // or a failed test would wait for those behind it

	var list []*listener
	for n := range 12 {
		l := &listener{kind: kind(n % int(polling)), channels: []string{"busy"}, from: "cursor=earliest"}
		if n >= 9 {
			l.gate = gate // half-sent messages
		}
		list = append(list, l)
	}
	c.openAll(list)
	socket := func(path, header string) string {
		return "GET " + path + " HTTP/1.1\r\n" + hostLine + handshake + header + "\r\n"
	}
	for _, slow := range []<-chan struct{}{nil, gate} {
		v1, say := tap(p, socket("/ws", "Sec-WebSocket-Protocol: peal.v1\r\n"), slow)
		say(masked(`{"id":1,"command":"subscribe","channel":"busy"}`))
		pusher, say := tap(p, socket("/app/"+appKey+"?protocol=7", ""), slow)
		say(masked(`{"event":"pusher:subscribe","data":{"channel":"busy"}}`))
		mercure, _ := tap(p, get(hubPath+"?topic=busy"), slow)
		list = append(list, v1, pusher, mercure)
	}
	p.awaitSubscribers("busy", len(list))
	for range 3 {
		list = append(list, pollOn(p, "busy"))
	}
	waiting := pollOn(p, "quiet") // parked all the time

	// What has begun, and is finished by another process.
	idle := p.dial().send(get("/channels"))
	idle.want("GET", 200)
	between := p.dial().send(get("/poll?channel=quiet&cursor=earliest&timeout=0"))
	between.want("GET", 200)
	head := p.dial().send("GET /chan")
	body := post("/publish?channel=busy", "#8-00000"+strings.Repeat(".", 100))
	half := p.dial().send(body[:len(body)-50])
	framed := p.openSocket("/ws?channel=elsewhere", "")
	frame := masked(`from the old to the newest`)
	framed.send(frame[:len(frame)-9])

	var accepted atomic.Int64
	var publishers sync.WaitGroup
	done := make(chan struct{})
	for n := range 3 {
		conn, err := p.connect()
		if err != nil {
			t.Fatal(err)
		}
		publishers.Go(func() {
			defer conn.Close()
			if err := publishOn(conn, n, &accepted, done); err != nil {
				t.Error(err)
			}
		})
	}
	more := func(n int64) {
		t.Helper()
		upto := accepted.Load() + n
		p.await("more messages are accepted", func() bool {
			time.Sleep(time.Millisecond)
			return accepted.Load() >= upto || t.Failed()
		})
	}
	more(250)
	for range 3 {
		h.upgrade(t)
		more(60)
	}

	idle.send(get("/channels")).want("GET", 200)
	between.send(get("/poll?channel=quiet&cursor=earliest&timeout=0")).want("GET", 200)
	head.send("nels HTTP/1.1\r\n"+hostLine+"\r\n").want("GET", 200)
	half.send(body[len(body)-50:]).want("POST", 200)
	framed.send(frame[len(frame)-9:])
	if got := framed.unmasked(); got != `from the old to the newest` {
		t.Errorf("received %q of the frame that was sent to two processes", got)
	}
	close(done)
	publishers.Wait()
	p.publish("busy", last)
	p.publish("quiet", last)
	read()
	for _, l := range append(list, waiting) {
		select {
		case <-l.ended:
		case <-time.After(patience):
			t.Fatalf("a client does not receive the last message: %s", h.log())
		}
	}
	if waiting.err != nil || !slices.Equal(waiting.got, []string{last}) {
		t.Errorf("the parked poll: %q, %v", waiting.got, waiting.err)
	}
	want := list[0].got
	count := map[string]int{}
	for _, id := range want {
		if count[id]++; count[id] > 1 {
			t.Errorf("%s came twice", id)
		}
	}
	if n := int(accepted.Load()) + 2; len(count) != n { // the half body's and the last
		t.Errorf("%d messages came of %d that were accepted", len(count), n)
	}
	for i, l := range list {
		if !slices.Equal(l.got, want) || l.err != nil {
			t.Errorf("client %d (%v) received %d messages of %d: %v; %s", i, l.kind, len(l.got), len(want), l.err, difference(l.got, want))
		}
	}
	h.unharmed(t)
}

// publishOn publishes on one connection, one message after the other, until done.
func publishOn(conn net.Conn, publisher int, accepted *atomic.Int64, done <-chan struct{}) error {
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	for n := 0; ; n++ {
		select {
		case <-done:
			return nil
		default:
		}
		if _, err := io.WriteString(conn, post("/publish?channel=busy", fmt.Sprintf("#%d-%05d", publisher, n)+strings.Repeat(".", 1500))); err != nil {
			return fmt.Errorf("publisher %d: %w", publisher, err)
		}
		a, err := http.ReadResponse(r, &http.Request{Method: "POST"})
		if err != nil {
			return fmt.Errorf("publisher %d, message %d: %w", publisher, n, err)
		}
		text, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != 200 {
			return fmt.Errorf("publisher %d, message %d: %s %s %w", publisher, n, a.Status, text, err)
		}
		accepted.Add(1)
		time.Sleep(5 * time.Millisecond) // what they publish during an upgrade is what all receive
	}
}
