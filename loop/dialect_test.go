package loop_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"peal/loop"
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/loop/frame"
	"peal/loop/ring"
)

// The tests' own protocol: a request is a line of words. Streams and answers
// are lines too, or WebSocket frames of text.
//
//	echo TEXT            TEXT
//	last TEXT            TEXT, and the connection ends
//	work N               "done", and the front says that it was N units of work
//	peer                 the address of the client, as the front is given it
//	via                  whether it came over TLS, and from a trusted proxy
//	big N                N bytes and a line end
//	later TEXT           TEXT, when the test says so (world.later)
//	lastlater TEXT       the same, and the connection ends
//	wait WORD REQUEST    REQUEST, when the test has said WORD (world.say)
//	pub CHANNEL TEXT     published inside the loop: "ok SEQUENCE"
//	body N               N bytes follow the line, after "continue"
//	poll CHANNELS FROM S held for at most S seconds [named] [ref]
//	sse, wsraw, wsjson CHANNELS FROM [publish] [ignoregap] [named] [ref] [S, the deadline]
//
// CHANNELS is a comma list, FROM is now, first, foreign, last:N or a sequence.

// The dialects of the tests' encoder, and their framings.
const (
	wsRaw ring.Encoding = iota
	wsJSON
	eventStream
	parkedLine
)

var framings = [...]loop.Framing{wsRaw: loop.WebSocket, wsJSON: loop.WebSocket, eventStream: loop.EventStream, parkedLine: loop.Held}

// world is what the fronts of all loops share.
type world struct {
	journal   *journal
	later     chan parked
	ended     chan uint64         // sessions that Forsaken.Ended was called for
	refs      chan loop.Ref       // of requests that have the word ref
	waiting   chan parked         // requests that wait for their word
	said      sync.Map            // words
	lateWaits bool                // refusing a body that is late waits for the word "late"
	received  atomic.Int64        // WebSocket messages that begin with '#', which are only counted
	due       func(c loop.Client) // called on the loop for each deadline, if set
	requests  atomic.Int64
	echoed    func(text string) // called on the loop for each echo, if set
	draining  atomic.Int64      // requests that were told of the drain
	named     ledger            // sessions of named subscriptions
	left      ledger            // sessions that Front.Left was called for
	declines  atomic.Bool       // Mover.Export hands nothing over
	carried   ledger            // sessions that Mover.Import has brought
}

// parked is a request that waits for Group.Answer.
type parked struct {
	ref  loop.Ref
	text string
}

type front struct {
	*world
	loop int
}

var (
	_ loop.Front    = front{}
	_ loop.Forsaken = front{}
)

func (f front) Ended(session uint64) {
	select {
	case f.ended <- session:
	default: // nobody asks
	}
}

const longestLine = 256 << 10

func (f front) Request(c *loop.Call) {
	end := bytes.IndexByte(c.In, '\n')
	if end < 0 {
		if len(c.In) > longestLine {
			f.answer(c, loop.ReplyClose, len(c.In), "too long\n")
		} else if c.Ended {
			f.answer(c, loop.ReplyClose, len(c.In), "unfinished\n")
		} else if c.Late {
			f.answer(c, loop.ReplyClose, len(c.In), "late\n")
		}
		return
	}
	f.requests.Add(1)
	if why := c.Refusal.Reason; why != admit.None {
		f.answer(c, loop.Later, end+1, "refused: "+why.String()+"\n") // the loop ends it whatever the verdict
		return
	}
	if c.Draining {
		f.draining.Add(1)
	}
	verb, rest, _ := strings.Cut(string(c.In[:end]), " ")
	used := end + 1
	for verb == "wait" {
		word, request, _ := strings.Cut(rest, " ")
		if _, ok := f.said.Load(word); !ok {
			c.Verdict = loop.Wait
			f.waiting <- parked{c.Conn, word}
			return
		}
		verb, rest, _ = strings.Cut(request, " ")
	}
	if verb == "as" { // sent by that client, which the front has found behind a proxy
		client, request, _ := strings.Cut(rest, " ")
		c.Client = netip.MustParseAddrPort(client)
		verb, rest, _ = strings.Cut(request, " ")
	}
	switch verb {
	case "echo":
		if f.echoed != nil {
			f.echoed(rest)
		}
		f.answer(c, loop.Reply, used, rest+"\n")
	case "work":
		c.Work = number(rest)
		f.answer(c, loop.Reply, used, "done\n")
	case "peer":
		f.answer(c, loop.Reply, used, c.Peer.String()+"\n")
	case "via":
		f.answer(c, loop.Reply, used, fmt.Sprintf("secure=%v trusted=%v named=%v\n", c.Secure, c.Trusted, c.Named))
	case "last":
		f.answer(c, loop.ReplyClose, used, rest+"\n")
	case "big":
		f.answer(c, loop.Reply, used, strings.Repeat("x", number(rest))+"\n")
	case "biglast":
		f.answer(c, loop.ReplyClose, used, strings.Repeat("x", number(rest))+"\n")
	case "later", "lastlater":
		c.Verdict, c.Used, c.Close = loop.Later, used, verb == "lastlater"
		f.later <- parked{c.Conn, rest}
	case "pub":
		channel, data, _ := strings.Cut(rest, " ")
		if sequence, ok := f.journal.publish(channel, data); ok {
			f.answer(c, loop.Reply, used, fmt.Sprintf("ok %d\n", sequence))
		} else {
			f.answer(c, loop.Reply, used, "full\n")
		}
	case "body":
		n := number(rest)
		if len(c.In) < used+n {
			f.requests.Add(-1)
			if _, ok := f.said.Load("late"); c.Late && f.lateWaits && !ok {
				c.Verdict = loop.Wait
				f.waiting <- parked{c.Conn, "late"}
				return
			}
			if c.Late {
				f.answer(c, loop.ReplyClose, len(c.In), "late\n")
				return
			}
			c.Partial.Head = uint32(used)
			c.Need = used + n
			if !c.Continued {
				c.Out = append(c.Out, "continue\n"...)
			}
			return
		}
		f.answer(c, loop.Reply, used+n, fmt.Sprintf("got %d\n", n))
	case "poll":
		c.Verdict, c.Used = loop.Park, used
		c.Sub = f.subscription(c, rest, parkedLine)
	case "lastpoll":
		c.Verdict, c.Used, c.Close = loop.Park, used, true
		c.Sub = f.subscription(c, rest, parkedLine)
	case "sse":
		f.stream(c, used, rest, eventStream)
	case "wsraw":
		f.stream(c, used, rest, wsRaw)
	case "wsjson":
		f.stream(c, used, rest, wsJSON)
	default:
		f.answer(c, loop.ReplyClose, used, "what is "+strconv.Quote(verb)+"\n")
	}
}

func (f front) answer(c *loop.Call, v loop.Verdict, used int, text string) {
	c.Verdict, c.Used, c.Out = v, used, append(c.Out, text...)
}

func (f front) stream(c *loop.Call, used int, rest string, k ring.Encoding) {
	c.Verdict, c.Used, c.Out = loop.Stream, used, append(c.Out, "stream\n"...)
	c.Sub = f.subscription(c, rest, k)
}

func (f front) subscription(c *loop.Call, words string, k ring.Encoding) *loop.Subscription {
	w := strings.Fields(words)
	s := &loop.Subscription{Dialect: k, Framing: framings[k]}
	s.Channels, s.Encoding = strings.Split(w[0], ","), k
	switch from := w[1]; {
	case from == "now":
	case from == "first":
		s.From = fanout.Earliest
	case from == "foreign":
		s.From = fanout.Foreign
	case strings.HasPrefix(from, "last:"):
		s.From, s.Count = fanout.Last, number(from[5:])
	default:
		s.From, s.Sequence = fanout.After, uint64(number(from))
	}
	for _, word := range w[2:] {
		switch word {
		case "publish":
			s.Publishes = true
		case "ignoregap":
			s.IgnoreGap = true
		case "deflate":
			s.Deflate = true
		case "named":
			s.Named = true
			f.named.add(c.Session)
		case "ref":
			f.refs <- c.Conn
		default:
			s.Deadline = time.Duration(number(word)) * time.Second
		}
	}
	return s
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err) // the test's own words
	}
	return n
}

func (f front) Open(c loop.Client, s *loop.Subscription) {}

// Due writes a line, and does what the test wants then.
func (f front) Due(c loop.Client) {
	line := []byte("due\n")
	if framings[c.Dialect()] == loop.WebSocket {
		line = frame.AppendMessage(nil, false, []byte("due"))
	}
	c.Write(line)
	if f.due != nil {
		f.due(c)
	}
}

func (f front) Left(session uint64) { f.left.add(session) }

func (f front) Message(c loop.Client, _ bool, payload []byte) (uint16, string) {
	if len(payload) > 0 && payload[0] == '#' {
		f.received.Add(1)
		return 0, ""
	}
	if units, ok := strings.CutPrefix(string(payload), "work "); ok {
		c.Spend(number(units))
		c.Write(frame.AppendMessage(nil, false, []byte("done")))
		return 0, ""
	}
	if words, ok := strings.CutPrefix(string(payload), "say "); ok { // a number, and how many bytes
		what, size, _ := strings.Cut(words, " ")
		c.Write(frame.AppendMessage(nil, false, fmt.Appendf(nil, "%-*s", number(size), what)))
		return 0, ""
	}
	if name, ok := strings.CutPrefix(string(payload), "join "); ok { // behind a long reply: see recorder.Send
		c.Write(frame.AppendMessage(nil, false, fmt.Appendf(nil, "%-9000s", "nobody")))
		c.Subscribe(&loop.Subscription{Subscription: fanout.Subscription{Channels: []string{name}}})
		return 0, ""
	}
	if string(payload) == "throw me out" {
		return 4410, "as you wish"
	}
	if words, ok := strings.CutPrefix(string(payload), "close "); ok {
		code, reason, _ := strings.Cut(words, " ")
		c.Close(uint16(number(code)), reason)
		c.Write(frame.AppendMessage(nil, false, []byte("never")))
		c.Close(4400, "only once")
		return 4400, "only once"
	}
	if text, ok := strings.CutPrefix(string(payload), "later "); ok {
		c.Owe()
		f.later <- parked{c.Ref(), text}
		return 0, ""
	}
	if string(payload) == "peer" {
		payload = []byte(c.Peer().String())
	}
	if _, ok := f.journal.publish(c.PublishTo(), string(payload)); !ok {
		return 1013, "full"
	}
	return 0, ""
}

// encoder writes the answers. Each message is a line "m SEQUENCE CHANNEL DATA",
// but for wsRaw, which has the bare data.
type encoder struct{}

var _ fanout.Encoder = encoder{}

func appendLine(dst []byte, m *ring.Message) []byte {
	return fmt.Appendf(dst, "m %d %s %s\n", m.Sequence, m.Channel, m.Entry)
}

func text(dst []byte, k ring.Encoding, line string) []byte {
	if k == wsJSON {
		return frame.AppendMessage(dst, false, []byte(line))
	}
	return append(dst, line...)
}

func (encoder) Encode(m *ring.Message, k ring.Encoding) []byte {
	switch k {
	case wsRaw:
		return frame.AppendMessage(nil, false, []byte(m.Entry.(string)))
	case wsJSON:
		return frame.AppendMessage(nil, false, appendLine(nil, m))
	}
	return appendLine(nil, m)
}

func (encoder) AppendOpen(dst []byte, k ring.Encoding, o fanout.Opening) []byte {
	if k == wsRaw {
		return dst
	}
	return text(dst, k, fmt.Sprintf("open %d\n", o.Sequence))
}

func (encoder) AppendHeartbeat(dst []byte, k ring.Encoding, sequence uint64) []byte {
	if k == wsRaw || k == wsJSON {
		return frame.AppendPing(dst, strconv.AppendUint(nil, sequence, 10))
	}
	return fmt.Appendf(dst, "beat %d\n", sequence)
}

func (encoder) AppendGap(dst []byte, k ring.Encoding, g ring.Gap) []byte {
	if k == wsRaw {
		return dst
	}
	return text(dst, k, fmt.Sprintf("gap %s %d %d\n", g.Channel, g.From, g.To))
}

func (encoder) AppendAnswer(dst []byte, _ ring.Encoding, a fanout.Answer) []byte {
	if a.Ended != nil {
		return fmt.Appendf(dst, "%v close=%v\n", a.Ended, a.Close)
	}
	dst = fmt.Appendf(dst, "poll %d %d %d\n", a.Sequence, len(a.Gaps), len(a.Messages))
	for _, g := range a.Gaps {
		dst = fmt.Appendf(dst, "gap %s %d %d\n", g.Channel, g.From, g.To)
	}
	for _, m := range a.Messages {
		dst = appendLine(dst, m)
	}
	return dst
}

func (encoder) AppendClose(dst []byte, k ring.Encoding, code uint16, reason string) []byte {
	if k == wsRaw || k == wsJSON {
		return frame.AppendClose(dst, code, reason)
	}
	return append(dst, "bye\n"...)
}
