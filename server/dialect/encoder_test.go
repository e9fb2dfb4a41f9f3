package dialect_test

import (
	"strings"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/log"
	"peal/server/session"
)

// The dialects are tested in their own packages; here it matters that each
// encoding gets its own.
func TestEncoderSpeaksAllEncodings(t *testing.T) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(n int64) int64 { return n - 1 })
	e.Sessions = session.New([16]byte{1})
	m := message(7, "hi")
	const object = `{"channel":"a","cursor":"z-7","time":1,"data":"hi"}`
	const gap = `{"channel":"a","from":"z-1","to":"z-3","reason":"discarded"}`
	const closed = "\x88\x16\x03\xe9by; retry in 4999 ms"
	const position = "id: z-9\nevent: peal.cursor\ndata: {\"cursor\":\"z-9\"}\n\n"
	opened := strings.Replace(position, "}", `,"session":"`+e.Sessions.Of(7).String()+`"}`, 1)
	for _, want := range []struct {
		k                                          ring.Encoding
		encoded, open, heartbeat, gapped, closedBy string
	}{
		{dialect.WSRaw, "\x81\x02hi", "", "\x89\x03z-9", "", closed},
		{dialect.WSJSON, "\x81" + string(rune(len(object))) + object, "", "\x89\x03z-9", "\x81" + string(rune(len(gap)+10)) + `{"gap":[` + gap + `]}`, closed},
		{dialect.SSERaw, "id: z-7\ndata: hi\n\n", "retry: 4999\n" + opened, position, "event: gap\ndata: " + gap + "\n\n", "retry: 4999\n"},
		{dialect.SSEJSON, "id: z-7\ndata: " + object + "\n\n", "retry: 4999\n" + opened, position, "event: gap\ndata: " + gap + "\n\n", "retry: 4999\n"},
		{dialect.PollRaw, "hi", "", "", "", ""},
		{dialect.V1, "\x81" + string(rune(len(object))) + object, "", "\x89\x03z-9", "\x81" + string(rune(len(gap)+10)) + `{"gap":[` + gap + `]}`, closed},
		{dialect.PollJSON, object, "", "", "", ""},
	} {
		check := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}
		check("encoded", string(e.Encode(m, want.k)), want.encoded)
		check("open, known", string(e.AppendOpen(nil, want.k, fanout.Opening{Sequence: 9, Known: true, Session: 7})), strings.TrimSuffix(want.open, opened))
		check("open", string(e.AppendOpen(nil, want.k, fanout.Opening{Sequence: 9, Session: 7})), want.open)
		check("heartbeat", string(e.AppendHeartbeat(nil, want.k, 9)), want.heartbeat)
		check("gap", string(e.AppendGap(nil, want.k, ring.Gap{Channel: "a", From: 1, To: 3})), want.gapped)
		check("close", string(e.AppendClose(nil, want.k, 1001, "by")), want.closedBy)
		limited := want.closedBy // an event stream always names a time
		if limited == closed {
			limited = "\x88\x04\x11\x4dby" // the reason has it, if it is known
		}
		check("close for a rate", string(e.AppendClose(nil, want.k, 4429, "by")), limited)
	}
}

// The epoch of a log may change while clients are connected: what comes behind has
// the new one, and what was encoded before has the same name when it is encoded again.
func TestEncoderFollowsTheEpoch(t *testing.T) {
	lineage := log.NewLineage(epoch)
	e := dialect.NewEncoder(table, lineage, func(int64) int64 { return 0 })
	object := func(sequence uint64) string { return string(e.Encode(message(sequence, "hi"), dialect.PollJSON)) }
	before := object(7)
	lineage.Begin(epoch+1, 8, log.Predecessor{Epoch: epoch, Last: 7})
	if got := object(7); got != before || !strings.Contains(got, `"z-7"`) {
		t.Errorf("%s, was %s", got, before)
	}
	if got := object(8); !strings.Contains(got, `"z-8"`) {
		t.Errorf("shown before and lost: %s", got)
	}
	if got := object(9); !strings.Contains(got, `"10-9"`) {
		t.Errorf("of the new epoch: %s", got)
	}
	if got := string(e.AppendHeartbeat(nil, dialect.SSERaw, 12)); !strings.HasPrefix(got, "id: 10-12\n") {
		t.Errorf("a position in the new epoch: %q", got)
	}
}

func TestEncoderAnswersPolls(t *testing.T) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(n int64) int64 { return 0 })
	check := func(k ring.Encoding, a fanout.Answer, status int, want, cursor string) {
		t.Helper()
		resp, body := readAnswer(t, "GET", e.AppendAnswer(nil, k, a))
		if resp.StatusCode != status || body != want || resp.Header.Get("Peal-Cursor") != cursor || resp.Header.Get("Date") == "" {
			t.Errorf("%d %v %s, want %d %s", resp.StatusCode, resp.Header, body, status, want)
		}
	}
	two := []*ring.Message{message(7, "hi"), message(8, "ho")}
	check(dialect.PollJSON, fanout.Answer{Sequence: 9, Messages: two}, 200,
		`{"cursor":"z-9","messages":[{"channel":"a","cursor":"z-7","time":1,"data":"hi"},{"channel":"a","cursor":"z-8","time":1,"data":"ho"}]}`, "")
	check(dialect.PollJSON, fanout.Answer{Sequence: 9, Gaps: []ring.Gap{{Channel: "a", To: 3, Foreign: true}}}, 200,
		`{"cursor":"z-9","gap":[{"channel":"a","to":"z-3","reason":"unknown_cursor"}],"messages":[]}`, "")
	check(dialect.PollRaw, fanout.Answer{Sequence: 9, Messages: two[:1]}, 200, "hi", "z-9")
	check(dialect.PollRaw, fanout.Answer{Sequence: 9, Messages: two}, 200, "hi", "z-7") // the second is still to come
	check(dialect.PollRaw, fanout.Answer{Sequence: 9}, 204, "", "z-9")
	resp, _ := readAnswer(t, "GET", e.AppendAnswer(nil, dialect.PollRaw, fanout.Answer{Sequence: 9, Close: true, Last: true}))
	if got := resp.Header.Get("Retry-After"); got != "2" || !resp.Close {
		t.Errorf("the last response: Retry-After %q, close %v", got, resp.Close)
	}
	resp, body := readAnswer(t, "GET", e.AppendAnswer(nil, dialect.PollJSON, fanout.Answer{Sequence: 9, Close: true, Last: true, Gaps: []ring.Gap{{Channel: "a", To: 3, Foreign: true}}}))
	if want := `{"cursor":"z-9","retry_ms":2000,"gap":[{"channel":"a","to":"z-3","reason":"unknown_cursor"}],"messages":[]}`; body != want || resp.Header.Get("Retry-After") != "2" {
		t.Errorf("the last response: %s", body)
	}
	resp, _ = readAnswer(t, "HEAD", e.AppendAnswer(nil, dialect.PollJSON, fanout.Answer{Sequence: 9, HeadOnly: true, Close: true}))
	if !resp.Close || resp.ContentLength != int64(len(`{"cursor":"z-9","messages":[]}`)) {
		t.Errorf("HEAD: close %v, length %d", resp.Close, resp.ContentLength)
	}
}

func TestEncoderSpeaksOfPresence(t *testing.T) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(n int64) int64 { return 0 })
	entry := &log.Entry{Kind: log.KindPresence, Sequence: 8, Channel: "a\n", Data: []byte(`{"count":1}`)}
	m := &ring.Message{Sequence: 8, Channel: "$presence:a\n", Entry: entry}
	const object = `{"channel":"a\n","cursor":"z-8","count":1}`
	for k, want := range map[ring.Encoding]string{
		dialect.WSJSON:   "\x81" + string(rune(len(object)+13)) + `{"presence":` + object + `}`,
		dialect.SSERaw:   "id: z-8\nevent: peal.presence\ndata: " + object + "\n\n",
		dialect.SSEJSON:  "id: z-8\nevent: peal.presence\ndata: " + object + "\n\n",
		dialect.PollJSON: object,
	} {
		if got := string(e.Encode(m, k)); got != want {
			t.Errorf("encoding %d: got %q, want %q", k, got, want)
		}
	}
	a := fanout.Answer{Sequence: 9, Messages: []*ring.Message{m, message(9, "hi"), m}}
	for _, method := range []string{"GET", "HEAD"} {
		a.HeadOnly = method == "HEAD"
		want := `{"cursor":"z-9","presence":[` + object + "," + object + `],"messages":[{"channel":"a","cursor":"z-9","time":1,"data":"hi"}]}`
		resp, body := readAnswer(t, method, e.AppendAnswer(nil, dialect.PollJSON, a))
		if resp.ContentLength != int64(len(want)) || !a.HeadOnly && body != want {
			t.Errorf("%s: %d bytes, %s, want %s", method, resp.ContentLength, body, want)
		}
	}
}

func TestEncoderSharesThePollObject(t *testing.T) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(n int64) int64 { return 0 })
	m := message(7, strings.Repeat("x", 100))
	dst := make([]byte, 0, 4096)
	a := fanout.Answer{Sequence: 9, Messages: []*ring.Message{m}}
	m.Encoded(dialect.PollJSON, ring.NewCache(e.Encode, nil))
	if n := testing.AllocsPerRun(100, func() { e.AppendAnswer(dst, dialect.PollJSON, a) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
