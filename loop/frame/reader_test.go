package frame_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"peal/loop/frame"
)

const euro = "\xe2\x82\xac"

// streams has every kind of frame and every order of them that matters.
var streams = map[string][]byte{
	"nothing":        nil,
	"empty text":     clientFrame(finText, ""),
	"text":           clientFrame(finText, "Hello"),
	"binary":         clientFrame(finBinary, "\x00\xff\xfe"),
	"ping":           clientFrame(finPing, "Hello"),
	"pong":           clientFrame(finPong, ""),
	"longest ping":   clientFrame(finPing, strings.Repeat("p", 125)),
	"125, 126, 127":  stream(clientFrame(finText, strings.Repeat("a", 125)), clientFrame(finText, strings.Repeat("b", 126)), clientFrame(finText, strings.Repeat("c", 127))),
	"three messages": stream(clientFrame(finText, "one"), clientFrame(finBinary, "two"), clientFrame(finText, "three")),
	"empty close":    clientFrame(finClose, ""),
	"close":          clientFrame(finClose, "\x03\xe8bye "+euro),
	"after close":    stream(clientFrame(finClose, "\x03\xe8"), clientFrame(finText, "late"), []byte{0xff, 0xff}),

	"two fragments":          stream(clientFrame(text, "Hel"), clientFrame(finCont, "lo")),
	"many fragments":         stream(clientFrame(binar, "a"), clientFrame(cont, "bc"), clientFrame(cont, "def"), clientFrame(finCont, "ghij")),
	"empty fragments":        stream(clientFrame(text, ""), clientFrame(cont, ""), clientFrame(cont, "x"), clientFrame(cont, ""), clientFrame(finCont, "")),
	"nothing in fragments":   stream(clientFrame(text, ""), clientFrame(finCont, "")),
	"pings between":          stream(clientFrame(text, "Hel"), clientFrame(finPing, "p1"), clientFrame(finPing, strings.Repeat("2", 125)), clientFrame(cont, "l"), clientFrame(finPong, ""), clientFrame(finCont, "o"), clientFrame(finText, "next")),
	"ping after empty start": stream(clientFrame(binar, ""), clientFrame(finPing, "p"), clientFrame(finCont, "q")),
	"close between":          stream(clientFrame(text, "Hel"), clientFrame(finClose, "\x03\xe9"), clientFrame(finCont, "lo")),
	"big, small, big":        stream(clientFrame(binar, strings.Repeat("x", 300)), clientFrame(finPing, "p"), clientFrame(cont, "y"), clientFrame(finPing, "p"), clientFrame(finCont, strings.Repeat("z", 300)), clientFrame(finText, "end")),
	"two in fragments":       stream(clientFrame(text, "a"), clientFrame(finCont, "b"), clientFrame(binar, "\xff"), clientFrame(finCont, "\xfe")),
	"character over a cut":   stream(clientFrame(text, euro[:1]), clientFrame(finPing, "\xff"), clientFrame(cont, euro[1:2]), clientFrame(finCont, euro[2:])),
}

// broken has the errors that Autobahn looks for (groups 2 to 7), and more.
var broken = map[string]struct {
	stream []byte
	err    error
}{
	"RSV1":                     {clientFrame(0xC1, "x"), frame.ErrRSV},
	"RSV2 on ping":             {clientFrame(0xA9, ""), frame.ErrRSV},
	"RSV3 after text":          {stream(clientFrame(finText, "ok"), clientFrame(0x91, "")), frame.ErrRSV},
	"opcode 3":                 {clientFrame(0x83, ""), frame.ErrOpcode},
	"opcode 7":                 {clientFrame(0x87, "x"), frame.ErrOpcode},
	"opcode 11":                {clientFrame(0x8B, ""), frame.ErrOpcode},
	"opcode 15":                {clientFrame(0x8F, "x"), frame.ErrOpcode},
	"fragmented ping":          {clientFrame(noFinPing, "x"), frame.ErrControlFragmented},
	"fragmented close":         {clientFrame(noFinC, ""), frame.ErrControlFragmented},
	"ping of 126":              {clientFrame(finPing, strings.Repeat("x", 126)), frame.ErrControlLength},
	"close of 70000":           {clientFrame(finClose, strings.Repeat("x", 70000)), frame.ErrControlLength},
	"unmasked":                 {[]byte{0x81, 0x05, 'H', 'e', 'l', 'l', 'o'}, frame.ErrUnmasked},
	"125 in 16 bits":           {[]byte{0x82, 0xFE, 0, 125, 1, 2, 3, 4}, frame.ErrLength},
	"65535 in 64 bits":         {[]byte{0x82, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4}, frame.ErrLength},
	"top bit of 64":            {[]byte{0x82, 0xFF, 0x80, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, frame.ErrLength},
	"2^63-1 bytes":             {[]byte{0x82, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4}, frame.ErrTooBig},
	"continuation first":       {clientFrame(finCont, "x"), frame.ErrContinuation},
	"continuation after text":  {stream(clientFrame(finText, "a"), clientFrame(cont, "x")), frame.ErrContinuation},
	"text in text":             {stream(clientFrame(text, "a"), clientFrame(finText, "b")), frame.ErrInterleaved},
	"binary in text":           {stream(clientFrame(text, "a"), clientFrame(finPing, ""), clientFrame(binar, "b")), frame.ErrInterleaved},
	"too big":                  {clientFrame(finBinary, strings.Repeat("x", 1001)), frame.ErrTooBig},
	"too big together":         {stream(clientFrame(binar, strings.Repeat("x", 600)), clientFrame(finPing, ""), clientFrame(cont, strings.Repeat("x", 401))), frame.ErrTooBig},
	"bad text":                 {clientFrame(finText, "\xce\xba\xff"), frame.ErrUTF8},
	"text cut short":           {clientFrame(finText, euro[:2]), frame.ErrUTF8},
	"fragments cut short":      {stream(clientFrame(text, euro[:2]), clientFrame(finCont, "")), frame.ErrUTF8},
	"surrogate over fragments": {stream(clientFrame(text, "\xed"), clientFrame(cont, "\xa0")), frame.ErrUTF8},
	"bad in 2nd fragment":      {stream(clientFrame(text, "ok"), clientFrame(cont, "\xf4\x90")), frame.ErrUTF8},
	"close of one byte":        {clientFrame(finClose, "\x03"), frame.ErrClosePayload},
	"close 1005":               {clientFrame(finClose, "\x03\xed"), frame.ErrCloseCode},
	"close 999":                {clientFrame(finClose, "\x03\xe7x"), frame.ErrCloseCode},
	"close, bad reason":        {clientFrame(finClose, "\x03\xe8\xff"), frame.ErrUTF8},
}

const brokenLimit = 1000

func TestNextGivesTheSameHoweverTheStreamIsCut(t *testing.T) {
	for name, s := range streams {
		t.Run(name, func(t *testing.T) {
			if _, code := judge(s, 1<<20); code != 0 {
				t.Fatalf("the judge finds this stream broken: %d", code)
			}
			check(t, s, 1<<20, 1)
		})
	}
	for name, c := range broken {
		t.Run(name, func(t *testing.T) { check(t, c.stream, brokenLimit, 2) })
	}
}

func TestNextOnEveryPrefix(t *testing.T) {
	for name, s := range streams {
		for cut := range s {
			want, _ := judge(s[:cut], 1<<20)
			got, code := deliver(t, append([]byte{}, s[:cut]...), 1<<20, func() int { return cut })
			if code != 0 || !equal(got, want) {
				t.Errorf("%s, first %d of %d bytes: %v, close %d; want %v", name, cut, len(s), got, code, want)
			}
		}
	}
}

func TestNextInTwoPieces(t *testing.T) {
	for name, s := range streams {
		want, _ := judge(s, 1<<20)
		for cut := 1; cut < len(s); cut++ {
			sizes := []int{cut, len(s) - cut}
			got, code := deliver(t, s, 1<<20, func() int { n := sizes[0]; sizes = sizes[1:]; return n })
			if code != 0 || !equal(got, want) {
				t.Fatalf("%s cut at %d: %v, close %d; want %v", name, cut, got, code, want)
			}
		}
	}
}

func TestNextFailsWithTheRightError(t *testing.T) {
	for name, c := range broken {
		var r frame.Reader
		b := append([]byte{}, c.stream...)
		for {
			ev, rest, err := r.Next(b, brokenLimit)
			if err != nil {
				if !errors.Is(err, c.err) {
					t.Errorf("%s: %v, want %v", name, err, c.err)
				}
				break
			}
			if ev.Kind == frame.None {
				t.Errorf("%s: no error, want %v", name, c.err)
				break
			}
			b = rest
		}
	}
}

// RFC 6455 §5.7; what the server sends is in TestAppend.
func TestNextOnTheExamplesOfTheRFC(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		want  []event
	}{
		{"masked text", []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, []event{{frame.Text, "Hello", 0}}},
		{"masked pong", []byte{0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, []event{{frame.Pong, "Hello", 0}}},
	} {
		if got, code := deliver(t, c.bytes, 5, func() int { return 11 }); code != 0 || !equal(got, c.want) {
			t.Errorf("%s: %v, close %d; want %v", c.name, got, code, c.want)
		}
	}
}

func TestNextReportsControlFramesBeforeTheMessageAroundThem(t *testing.T) {
	s := stream(clientFrame(text, "a"), clientFrame(finPing, "1"), clientFrame(cont, "b"), clientFrame(finPong, "2"), clientFrame(finCont, "c"), clientFrame(finBinary, "d"))
	want := []event{{frame.Ping, "1", 0}, {frame.Pong, "2", 0}, {frame.Text, "abc", 0}, {frame.Binary, "d", 0}}
	if got, _ := deliver(t, s, 3, func() int { return len(s) }); !equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestNextKeepsAPingsPayloadUntilTheNextCall(t *testing.T) {
	var r frame.Reader
	s := stream(clientFrame(text, "abcdef"), clientFrame(finPing, "ping"), clientFrame(cont, "ghi"))
	ev, rest, err := r.Next(s, 100)
	if ev.Kind != frame.Ping || string(ev.Payload) != "ping" || err != nil {
		t.Fatalf("%v, %v", ev, err)
	}
	ev, rest, err = r.Next(append(rest, clientFrame(finCont, "jkl")...), 100)
	if ev.Kind != frame.Text || string(ev.Payload) != "abcdefghijkl" || len(rest) != 0 || err != nil {
		t.Fatalf("%v, rest %q, %v", ev, rest, err)
	}
}

func TestNextCompactsFragmentsAtTheFrontOfRest(t *testing.T) {
	var r frame.Reader
	part := clientFrame(finCont, "rest")[:7]
	s := stream(clientFrame(text, "abc"), clientFrame(cont, "def"), clientFrame(cont, "ghi"), part)
	_, rest, err := r.Next(s, 100)
	if err != nil || !strings.HasPrefix(string(rest), "abcdefghi") || len(rest) != 9+len(part) {
		t.Errorf("rest %q, %v", rest, err)
	}
	if r.Need(rest) != 3 || r.Idle() {
		t.Errorf("need %d, want 3; idle %v", r.Need(rest), r.Idle())
	}
}

// Autobahn 6.4: a text is failed by the byte that spoils it.
func TestNextFailsBadTextAtOnce(t *testing.T) {
	const good, bad = "κόσμε", "\xf4\x90"
	for name, c := range map[string]struct {
		stream []byte
		spoilt int // bytes up to and with the one that spoils the text
	}{
		"one frame":    {clientFrame(finText, good+bad+strings.Repeat("x", 90)), 6 + len(good) + 2},
		"2nd fragment": {stream(clientFrame(text, good), clientFrame(finCont, bad+"edited")), 6 + len(good) + 6 + 2},
		"long frame":   {clientFrame(text, strings.Repeat("x", 400)+"\xc0"+strings.Repeat("x", 400)), 8 + 401},
	} {
		if _, code := deliver(t, c.stream[:c.spoilt-1], 1<<20, func() int { return 7 }); code != 0 {
			t.Errorf("%s: close %d too early", name, code)
		}
		if _, code := deliver(t, c.stream[:c.spoilt], 1<<20, func() int { return 7 }); code != frame.CloseInvalidPayload {
			t.Errorf("%s: close %d, want 1007", name, code)
		}
	}
}

func TestNextRefusesTheAnnouncedLength(t *testing.T) {
	fails := func(s []byte, limit int) bool {
		var r frame.Reader
		_, _, err := r.Next(append([]byte{}, s...), limit)
		return errors.Is(err, frame.ErrTooBig)
	}
	head := frame.AppendMaskedHeader(nil, true, frame.OpBinary, 1000, testMask)
	if !fails(head, 999) || fails(head, 1000) {
		t.Error("a limit of 999 must refuse 1000 bytes with the header, one of 1000 must not")
	}
	if fails(clientFrame(finPing, "not a message"), 0) {
		t.Error("the limit must not touch control frames")
	}
	if fails(clientFrame(finText, ""), 0) || !fails(clientFrame(finText, "x"), 0) {
		t.Error("a limit of 0 must allow empty messages alone")
	}
	parts := stream(clientFrame(binar, strings.Repeat("x", 600)), frame.AppendMaskedHeader(nil, true, frame.OpContinuation, 400, testMask))
	if !fails(parts, 999) || fails(parts, 1000) {
		t.Error("fragments must count together")
	}
	huge := frame.AppendMaskedHeader(nil, true, frame.OpBinary, 1<<40, testMask)
	if !fails(huge, 1<<50) {
		t.Error("no limit may lift the bound of 1 GiB")
	}
}

// The most that a caller can have to keep.
func TestNextKeepsNoMoreThanItSays(t *testing.T) {
	const limit = 1000
	ping := clientFrame(finPing, strings.Repeat("p", 125))
	s := stream(clientFrame(binar, strings.Repeat("x", limit)), ping, ping[:len(ping)-1])
	var r frame.Reader
	ev, rest, err := r.Next(s, limit)
	if ev.Kind != frame.Ping || err != nil {
		t.Fatalf("%v, %v", ev, err)
	}
	ev, rest, err = r.Next(rest, limit)
	if ev.Kind != frame.None || err != nil || len(rest) != limit+len(ping)-1 || len(rest) >= limit+frame.MaxControl+frame.MaxHeader {
		t.Errorf("%v, %d bytes of rest, %v", ev, len(rest), err)
	}
	check(t, stream(s, ping[len(ping)-1:], clientFrame(finCont, "")), limit, 3)
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want int
	}{
		{nil, 6},
		{clientFrame(finText, "x")[:1], 5},
		{clientFrame(finText, "Hello")[:2], 4},
		{clientFrame(finText, "Hello")[:6], 5},
		{clientFrame(finText, "Hello"), 0},
		{clientFrame(finText, strings.Repeat("x", 300))[:2], 6},
		{clientFrame(finText, strings.Repeat("x", 300))[:9], 299},
		{clientFrame(finText, strings.Repeat("x", 70000))[:3], 11},
		{clientFrame(finText, strings.Repeat("x", 70000))[:14], 70000},
		{[]byte{0xFF}, 0}, // Next has an error to report
	} {
		var r frame.Reader
		if got := r.Need(c.b); got != c.want {
			t.Errorf("Need(% x) = %d, want %d", c.b[:min(len(c.b), 14)], got, c.want)
		}
	}
}

func TestReaderIsSmallAndWithoutPointers(t *testing.T) {
	if size := unsafe.Sizeof(frame.Reader{}); size > 16 {
		t.Errorf("%d bytes, want at most 16", size)
	}
	for f := range reflect.TypeFor[frame.Reader]().Fields() {
		switch f.Type.Kind() {
		case reflect.Uint8, reflect.Uint32, reflect.Bool:
		default:
			t.Errorf("field %s is a %s", f.Name, f.Type)
		}
	}
}

// Work on a message that trickles in must be linear: this takes seconds if it is not.
func TestNextByteByByteIsLinear(t *testing.T) {
	const size = 1 << 20
	var s []byte
	s = append(s, clientFrame(text, strings.Repeat("x", size/2))...)
	for range 20_000 { // and so must be the work on what lies between fragments
		s = append(s, clientFrame(finPing, "")...)
		s = append(s, clientFrame(cont, "y")...)
	}
	s = append(s, clientFrame(finCont, strings.Repeat("z", size/4))...)
	var r frame.Reader
	pending := make([]byte, 0, len(s))
	pings, messages := 0, 0
	for _, c := range s {
		pending = append(pending, c)
		for {
			ev, rest, err := r.Next(pending, size)
			if err != nil {
				t.Fatal(err)
			}
			pending = rest
			if ev.Kind == frame.None {
				break
			}
			if ev.Kind == frame.Text {
				messages++
				if len(ev.Payload) != size*3/4+20_000 {
					t.Errorf("message of %d bytes", len(ev.Payload))
				}
			} else {
				pings++
			}
		}
	}
	if pings != 20_000 || messages != 1 || !r.Idle() {
		t.Errorf("%d pings, %d messages", pings, messages)
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	fresh := stream(clientFrame(finText, strings.Repeat("x", 128)), clientFrame(text, "a"), clientFrame(finPing, "p"), clientFrame(finCont, "b"), clientFrame(finClose, "\x03\xe8bye"))
	s := make([]byte, len(fresh))
	allocs := testing.AllocsPerRun(100, func() {
		copy(s, fresh)
		var r frame.Reader
		rest := s
		for range 5 {
			_, rest, _ = r.Next(rest, 1000)
		}
		_ = r.Need(rest)
		var bad frame.Reader
		s[0] = 0xFF
		_, _, err := bad.Next(s, 1000)
		_ = frame.CloseCode(err)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func ExampleReader() {
	var r frame.Reader
	received := clientFrame(finText, "hello")

	var pending []byte
	for _, piece := range [][]byte{received[:8], received[8:]} {
		pending = append(pending, piece...)
		for {
			ev, rest, err := r.Next(pending, 64<<10)
			pending = rest
			if err != nil {
				fmt.Println("close with", frame.CloseCode(err))
				return
			}
			if ev.Kind == frame.None {
				fmt.Println("need", r.Need(rest))
				break
			}
			fmt.Printf("message %q\n", ev.Payload)
		}
	}
	// Output:
	// need 3
	// message "hello"
	// need 6
}

func FuzzReader(f *testing.F) {
	for _, s := range streams {
		f.Add(s, uint16(1000), uint64(1))
	}
	for _, c := range broken {
		f.Add(c.stream, uint16(brokenLimit), uint64(2))
	}
	f.Fuzz(func(t *testing.T, s []byte, limit uint16, seed uint64) {
		if len(s) > 4096 {
			t.Skip("the judge is slow")
		}
		check(t, s, int(limit), seed)
		check(t, written(s), int(limit), seed)
	})
}

// written makes a mostly well-formed stream of any bytes: each takes a first
// byte, a length and a payload from what is left.
func written(script []byte) (s []byte) {
	firsts := [...]byte{text, finText, binar, finBinary, cont, cont, finCont, finPing, finPong, finText, finCont, finClose, cont, finPing, 0xC1, cont}
	for len(script) >= 2 {
		first, n := firsts[script[0]%16], min(int(script[1]), len(script)-2)
		if first >= finClose && first != 0xC1 {
			n = min(n, 125)
		}
		s = append(s, clientFrame(first, string(script[2:2+n]))...)
		script = script[2+n:]
	}
	return s
}
