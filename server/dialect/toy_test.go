package dialect_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/log/memory"
	"peal/server/publication"
	"peal/server/refusal"
	"peal/server/session"
	"peal/server/talk"
	"peal/server/workers"
)

// The toy dialects: a row each, and the functions that stand for their package. They
// say the same lines of words on each framing, and the server has nothing else of
// them. On a WebSocket a client gives commands that are words, too: sub CHANNEL,
// unsub CHANNEL, pub CHANNEL TEXT, ping.
//
// They are the eighth to the tenth row: what has room for eight dialects cannot
// serve the last two.
func toys() []dialect.Dialect {
	line := func(dst []byte, words ...any) []byte { return append(fmt.Append(dst, words...), '\n') }
	said := func(dst []byte, words ...any) []byte {
		return frame.AppendMessage(dst, false, fmt.Append(nil, words...))
	}
	return []dialect.Dialect{
		{
			Name: "toy-held", Framing: loop.Held, Format: "toy", Most: 2,
			Encode: func(e *log.Entry, channel string, at log.Cursor) []byte {
				return fmt.Appendf(nil, "%s %s %s", channel, at, e.Data)
			},
			Respond: func(dst []byte, a dialect.Answer) []byte {
				var body []byte
				for _, g := range a.Gaps {
					body = line(body, "gap ", g.Channel)
				}
				for _, m := range a.Messages {
					body = line(body, string(a.Bytes(m)))
				}
				a.Status, a.Type, a.Size = 200, "text/toy", len(body)
				return append(a.Append(dst), body...)
			},
		},
		{
			Name: "toy-stream", Framing: loop.EventStream, Format: "toy",
			Encode: func(e *log.Entry, channel string, at log.Cursor) []byte {
				return line(nil, fmt.Sprintf("%s %s %s", channel, at, e.Data))
			},
			Open: func(dst []byte, at log.Cursor, _ session.ID, known bool, _ time.Duration) []byte {
				return line(dst, "open ", at, " ", known)
			},
			Heartbeat: func(dst []byte, at log.Cursor) []byte { return line(dst, "beat ", at) },
			// It has no word for a gap.
			Close: func(dst []byte, code uint16, _ string, _ time.Duration) []byte { return line(dst, "bye ", code) },
		},
		{
			Name: "toy-socket", Framing: loop.WebSocket, Protocols: []string{"toy.v1"}, Format: "toy",
			Encode: func(e *log.Entry, channel string, at log.Cursor) []byte {
				return said(nil, fmt.Sprintf("%s %s %s", channel, at, e.Data))
			},
			Heartbeat: func(dst []byte, at log.Cursor) []byte { return said(dst, "beat ", at) },
			Gap: func(dst []byte, g ring.Gap, lineage *log.Lineage) []byte {
				return said(dst, "gap ", g.Channel, " ", lineage.Cursor(g.To))
			},
			Close: func(dst []byte, code uint16, _ string, _ time.Duration) []byte {
				return frame.AppendClose(said(dst, "bye"), code, "")
			},
			Commands: &talk.Language{
				NewParser: func() talk.Parser { return words{} },
				Connected: func(dst []byte, at log.Cursor, _ session.ID, channels, _ int) []byte {
					return said(dst, "hello ", at, " ", channels)
				},
				Done:       func(dst, _ []byte, at log.Cursor) []byte { return said(dst, "done ", at) },
				Subscribed: func(dst, _ []byte, at log.Cursor, _ int) []byte { return said(dst, "from ", at) },
				Result:     func(dst, _, object []byte) []byte { return said(dst, string(object)) },
				Refused:    func(dst, _ []byte, err *refusal.Error) []byte { return said(dst, "no ", err.Code) },
			},
		},
	}
}

// words parses the commands of the toy.
type words struct{}

func (words) Parse(c *talk.Command, binary bool, payload []byte) *refusal.Error {
	c.Reset()
	part := strings.SplitN(string(payload), " ", 3)
	c.Name = map[string]string{"sub": "subscribe", "unsub": "unsubscribe", "pub": "publish", "ping": "ping"}[part[0]]
	if binary || c.Name == "" {
		return refusal.Bad("unknown_command", "say sub, unsub, pub or ping")
	}
	for i, field := range []string{"channel", "data"}[:len(part)-1] {
		c.Set([]byte(field), ijson.Value(publication.AppendString(nil, part[i+1])))
	}
	return nil
}

// toyServer is the real loop, front, hub and log, with the toys in the table.
type toyServer struct {
	t       *testing.T
	address string
	log     *memory.Log
	loops   *loop.Group
}

func startToys(t *testing.T) *toyServer {
	t.Helper()
	table := dialect.NewTable(append(dialect.Standard(), toys()...)...)
	if table.Len() < 10 {
		t.Fatalf("%d rows: the toys are to be the last of ten", table.Len())
	}
	r, err := ring.New(1<<8, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &toyServer{t: t, log: memory.Open(time.Now)}
	if s.loops, err = loop.New(loop.Config{Loops: 1, Heartbeat: time.Second}, r, nil); err != nil {
		t.Fatal(err)
	}
	h := hub.New(hub.Config{Limits: hub.Limits{Messages: 1}}, r, s.loops.Wake, time.Now)
	if err := s.log.Start(h, nil); err != nil {
		t.Fatal(err)
	}
	pool := workers.New(1, 16)
	front := httpapi.New(httpapi.Deps{Log: s.log, Hub: h, Door: s.loops, Workers: pool, Dialects: table})
	fd, address, err := loop.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = address.String()
	err = s.loops.Serve(loop.Parts{
		Listeners: []int{fd},
		Front:     func(int) loop.Front { return front },
		Encoder:   httpapi.NewEncoder(table, s.log.Lineage(), rand.Int64N, nil),
		Source:    h,
		Encodings: h.Encodings,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.loops.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.loops.Drain(ctx)
		pool.Close()
	})
	return s
}

// at is the text of a cursor.
func (s *toyServer) at(sequence uint64) string { return s.log.Lineage().Cursor(sequence).String() }

// publish puts a message into the log, as a request of a backend does.
func (s *toyServer) publish(channel, data string) {
	s.t.Helper()
	if err := s.log.Append([]*log.Entry{{Channel: channel, Data: []byte(data)}}, nil); err != nil {
		s.t.Fatal(err)
	}
}

// toyClient is one connection, whose bytes are taken apart here.
type toyClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	next func() (string, error)
}

// patience bounds the wait for anything that must come.
const patience = time.Minute

func (s *toyServer) ask(target string, headers ...string) (*toyClient, *http.Response) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &toyClient{t: s.t, conn: conn, r: bufio.NewReader(conn)}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", target, strings.Join(headers, ""))
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return c, resp
}

// stream opens an event stream.
func (s *toyServer) stream(query string) *toyClient {
	s.t.Helper()
	c, resp := s.ask("/sse?format=toy&" + query)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%s: %v", query, resp)
	}
	body := bufio.NewReader(resp.Body)
	c.next = func() (string, error) {
		line, err := body.ReadString('\n')
		return strings.TrimSuffix(line, "\n"), err
	}
	return c
}

// socket opens a WebSocket. Frames are read by RFC 6455 §5.2.
func (s *toyServer) socket(query string) *toyClient {
	s.t.Helper()
	c, resp := s.ask("/ws?"+query, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, toy.v1\r\n")
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Protocol") != "toy.v1" {
		s.t.Fatalf("%s: %v", query, resp)
	}
	c.next = func() (string, error) {
		var head [2]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			return "", err
		}
		payload := make([]byte, head[1])
		if _, err := io.ReadFull(c.r, payload); err != nil || len(payload) > 125 {
			return "", errors.Join(err, fmt.Errorf("%d bytes", len(payload)))
		}
		if head[0] == 0x88 {
			return fmt.Sprint("close ", binary.BigEndian.Uint16(payload)), nil
		}
		return string(payload), nil
	}
	return c
}

// say sends one masked text frame.
func (c *toyClient) say(text string) {
	c.t.Helper()
	b := []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0} // a mask of zeros changes nothing
	if _, err := c.conn.Write(append(b, text...)); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads what comes next. Heartbeats are passed over unless one is expected.
func (c *toyClient) expect(want ...string) {
	c.t.Helper()
	for _, want := range want {
		for {
			got, err := c.next()
			if err != nil {
				c.t.Fatalf("%v, want %q", err, want)
			}
			if got == want {
				break
			}
			if !strings.HasPrefix(got, "beat ") {
				c.t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
}

// A row and a package are all that a dialect is: the toys are played through the
// real front and loop, from opening to close.
func TestADialectIsARowAndAPackage(t *testing.T) {
	s := startToys(t)
	stream, socket := s.stream("channel=a"), s.socket("channel=a")
	stream.expect("open " + s.at(0) + " false")
	socket.expect("hello " + s.at(0) + " 128")

	// What a client says is carried out, and answered before what it causes.
	socket.say("pub a hi")
	socket.expect("done "+s.at(1), "a "+s.at(1)+" hi")
	stream.expect("a " + s.at(1) + " hi")
	socket.say("sub b")
	socket.expect("from " + s.at(1))
	s.publish("b", "ho")
	socket.expect("b " + s.at(2) + " ho")
	socket.say("unsub a")
	socket.expect("done " + s.at(2))
	socket.say("dance")
	socket.expect("no unknown_command")

	// A silent stream has heartbeats.
	stream.expect("beat " + s.at(2))
	socket.expect("beat " + s.at(2))

	// A held response has what there is, at once.
	_, resp := s.ask("/poll?format=toy&channel=a&cursor=" + s.at(0))
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "a "+s.at(1)+" hi\n" || resp.Header.Get("Content-Type") != "text/toy" {
		t.Errorf("poll: %q %v %v", body, err, resp.Header)
	}

	// What the server ends, it ends in their words.
	ended := make(chan struct{})
	go func() { // ends when both clients have gone
		s.loops.Drain(context.Background())
		close(ended)
	}()
	stream.expect("bye 1001")
	if rest, err := stream.next(); err != io.EOF {
		t.Errorf("behind the end: %q, %v", rest, err)
	}
	socket.expect("bye", "close 1001")
	stream.conn.Close()
	socket.conn.Close()
	<-ended
}

// Each dialect tells gaps in its own way, or is closed where it has no word for them.
func TestADialectTellsGapsInItsWay(t *testing.T) {
	s := startToys(t)
	for _, data := range []string{"one", "two", "three"} {
		s.publish("a", data) // of which the last is retained
	}
	for _, cursor := range []string{s.at(1), "nonsense"} {
		socket := s.socket("channel=a&cursor=" + cursor)
		if cursor == "nonsense" { // no cursor before the gap
			socket.expect("hello 0-0 128")
		} else {
			socket.expect("hello " + cursor + " 128")
		}
		socket.expect("gap a "+s.at(2), "a "+s.at(3)+" three")

		stream := s.stream("channel=a&cursor=" + cursor)
		if cursor != "nonsense" {
			stream.expect("open " + cursor + " false")
		}
		stream.expect("bye 4409")
		if rest, err := stream.next(); err != io.EOF {
			t.Errorf("behind the end: %q, %v", rest, err)
		}

		ignoring := s.stream("gap=ignore&channel=a&cursor=" + cursor)
		if cursor == "nonsense" {
			ignoring.expect("open " + s.at(2) + " false")
		} else {
			ignoring.expect("open " + cursor + " false")
		}
		ignoring.expect("a " + s.at(3) + " three")

		_, resp := s.ask("/poll?format=toy&channel=a&cursor=" + cursor)
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "gap a\na "+s.at(3)+" three\n" {
			t.Errorf("poll: %q %v", body, err)
		}
	}
}

// What is refused is refused in the words of the dialect, and what it has no word for
// cannot be asked for.
func TestADialectRefusesInItsWords(t *testing.T) {
	s := startToys(t)
	s.socket("channel=$x").expect("bye", "close 4403")
	s.socket("channel=a&format=json").expect("bye", "close 4400")
	s.socket("channel=a&presence=1").expect("bye", "close 4400")
	if _, resp := s.ask("/sse?format=toy&channel=a&presence=1"); resp.StatusCode != 400 {
		t.Errorf("presence on an event stream of the toy: %d, want 400", resp.StatusCode)
	}
}
