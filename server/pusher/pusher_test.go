package pusher

import (
	"encoding/json"
	"strings"
	"testing"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/session"
)

var (
	at      = log.Cursor{Epoch: 35, Sequence: 9}
	lineage = log.NewLineage(35)
)

// payloads are those of whole text frames.
func payloads(t testing.TB, b []byte) (all []string) {
	t.Helper()
	for len(b) > 0 {
		size, from := int(b[1]), 2
		switch size {
		case 126:
			size, from = int(b[2])<<8|int(b[3]), 4
		case 127:
			size, from = int(b[6])<<24|int(b[7])<<16|int(b[8])<<8|int(b[9]), 10
		}
		if b[0] != 0x81 || from+size > len(b) || !json.Valid(b[from:from+size]) {
			t.Fatalf("not whole text frames of JSON: %.200q", b)
		}
		all = append(all, string(b[from:from+size]))
		b = b[from+size:]
	}
	return all
}

func TestFrames(t *testing.T) {
	id, _ := ParseSocketID("12.34")
	members := []publication.Member{{Client: "shop:7", Info: `{"name":"Ann"}`}, {Client: "shop:8", Info: "no JSON"}, {Client: "other"}}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"an event":              {AppendEvent(nil, &log.Entry{Channel: "shop:orders", Event: "shipped", Data: []byte(`{"id":5}`)}, "shop:orders", at, false), `{"event":"shipped","channel":"orders","data":"{\"id\":5}"}`},
		"with a cursor":         {AppendEvent(nil, &log.Entry{Channel: "orders", Event: "a\"b", Data: []byte("text")}, "orders", at, true), `{"event":"a\"b","channel":"orders","data":"text","cursor":"z-9"}`},
		"without a name":        {AppendEvent(nil, &log.Entry{Channel: "orders", Data: nil}, "orders", at, false), `{"event":"message","channel":"orders","data":""}`},
		"a name of the server":  {AppendEvent(nil, &log.Entry{Channel: "orders", Event: "pusher_internal:member_added", Data: []byte("{}")}, "orders", at, false), `{"event":"published-pusher_internal:member_added","channel":"orders","data":"{}"}`},
		"another one":           {AppendEvent(nil, &log.Entry{Channel: "orders", Event: "pusher:error", Data: []byte("{}")}, "orders", at, false), `{"event":"published-pusher:error","channel":"orders","data":"{}"}`},
		"of a member":           {AppendEvent(nil, &log.Entry{Channel: "presence-a", Event: "client-x", Data: []byte("1"), Tags: map[string]string{log.UserTag: "7"}}, "presence-a", at, false), `{"event":"client-x","channel":"presence-a","data":"1","user_id":"7"}`},
		"of several channels":   {AppendEvent(nil, &log.Entry{Channel: "https://a.example/1", Also: []string{"news", "shop:news", "orders", "closed"}, Event: "e", Data: []byte("1"), Tags: map[string]string{log.AlsoTag: "3"}}, "https://a.example/1", at, true), `{"event":"e","channel":"news","data":"1","cursor":"z-9"}` + "\n" + `{"event":"e","channel":"orders","data":"1","cursor":"z-9"}`},
		"of one that is closed": {AppendEvent(nil, &log.Entry{Channel: "https://a.example/1", Also: []string{"closed", "https://a.example/2"}, Data: []byte("1")}, "https://a.example/1", at, false), `{"event":"message","channel":"closed","data":"1"}`},
		"of two that are":       {AppendEvent(nil, &log.Entry{Channel: "https://a.example/1", Also: []string{"closed", "secret"}, Data: []byte("1")}, "https://a.example/1", at, true), `{"event":"message","data":"1","cursor":"z-9"}`},
		"of an open one, too":   {AppendEvent(nil, &log.Entry{Channel: "open", Also: []string{"closed"}, Data: []byte("1")}, "open", at, false), `{"event":"message","channel":"open","data":"1"}`},
		"binary":                {AppendEvent(nil, &log.Entry{Channel: "a", Data: []byte{255}}, "a", at, false), `{"event":"message","channel":"a","data":"/w=="}`},
		"a greeting":            {AppendEstablished(nil, session.ID(id)), `{"event":"pusher:connection_established","data":"{\"socket_id\":\"12.34\",\"activity_timeout\":120}"}`},
		"a pong":                {AppendPong(nil), `{"event":"pusher:pong","data":"{}"}`},
		"an error":              {AppendError(nil, 4009, `no "x"`), `{"event":"pusher:error","data":{"code":4009,"message":"no \"x\""}}`},
		"a subscription":        {AppendSubscribed(nil, "a", log.Cursor{}), `{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}`},
		"one with a cursor":     {AppendSubscribed(nil, "a", at), `{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}","cursor":"z-9"}`},
		"members":               {AppendMembers(nil, "presence-a", "shop:", members, log.Cursor{}), `{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"7\",\"8\",\"other\"],\"hash\":{\"7\":{\"name\":\"Ann\"},\"8\":\"no JSON\",\"other\":null},\"count\":3}}"}`},
		"no members":            {AppendMembers(nil, "presence-a", "", nil, at), `{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[],\"hash\":{},\"count\":0}}","cursor":"z-9"}`},
		"a count":               {AppendCount(nil, "a", 7), `{"event":"pusher_internal:subscription_count","channel":"a","data":"{\"subscription_count\":7}"}`},
		"a miss":                {AppendCacheMiss(nil, "cache-a"), `{"event":"pusher:cache_miss","channel":"cache-a","data":"{}"}`},
		"a refusal":             {AppendRefused(nil, "a", "AuthError", "why", 401), `{"event":"pusher:subscription_error","channel":"a","data":"{\"type\":\"AuthError\",\"error\":\"why\",\"status\":401}"}`},
		"a sign-in":             {AppendSignedIn(nil, []byte(`{"id":"7"}`)), `{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"7\\\"}\"}"}`},
		"a gap":                 {AppendGap(nil, ring.Gap{Channel: "shop:orders", From: 3, To: 9}, lineage), `{"event":"peal:gap","channel":"orders","data":"{\"channel\":\"orders\",\"from\":\"z-3\",\"to\":\"z-9\",\"reason\":\"discarded\"}"}`},
		"a gap of presence":     {AppendGap(nil, ring.Gap{Channel: "$presence:presence-a", To: 9, Foreign: true}, lineage), `{"event":"peal:gap","channel":"presence-a","data":"{\"channel\":\"presence-a\",\"to\":\"z-9\",\"reason\":\"unknown_cursor\"}"}`},
		"joins and leaves":      {AppendPresence(nil, &log.Entry{Channel: "shop:presence-a", Data: []byte(`{"count":2,"join":[{"client":"shop:7","info":"{\"a\":1}"},{"client":"shop:8"}],"leave":[{"client":"shop:9"}]}`)}, at), `{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"7\",\"user_info\":{\"a\":1}}"}` + "\n" + `{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"8\",\"user_info\":null}"}` + "\n" + `{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":\"9\"}"}`},
		"numbers without names": {AppendPresence(nil, &log.Entry{Channel: "presence-a", Data: []byte(`{"count":200,"joined":3,"left":0}`)}, at), `{"event":"peal:members","channel":"presence-a","data":"{\"count\":200}"}`},
	} {
		if got := strings.Join(payloads(t, c.got), "\n"); got != c.want {
			t.Errorf("%s\n%s, want\n%s", name, got, c.want)
		}
	}
	if got := string(AppendHeartbeat(nil, at)); got != "\x89\x00" {
		t.Errorf("heartbeat %q", got)
	}
	for code, want := range map[uint16]uint16{1000: 1000, 1001: 4100, 1002: 1002, 1009: 1009, 1013: 4100, 4429: 4100, 4400: 4009, 4401: 4009, 4403: 4009, 4409: 4009, 4410: 4009, 4413: 4004, 4001: 4001, 4100: 4100} {
		if got := AppendClose(nil, code, "x", 0); string(got) != string([]byte{0x88, 3, byte(want >> 8), byte(want)})+"x" {
			t.Errorf("close %d: %q, want %d", code, got, want)
		}
		if comes := ComesBack(want); comes != (want < 4000 || want == 4100) {
			t.Errorf("close %d: comes back %v", want, comes)
		}
	}
}

// The parser takes whatever comes, keeps nothing of it, and reads what encoding/json reads.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"event":"pusher:ping","data":{}}`, `{"event":"pusher:subscribe","data":{"auth":"k:0","channel":"presence-a","channel_data":"{\"user_id\":1}","cursor":"z-1"}}`,
		`{"event":"pusher:signin","data":"{\"auth\":\"a\",\"user_data\":\"{\\\"id\\\":\\\"7\\\"}\"}"}`, `{"event":"client-x","channel":"private-a","data":[1,"\ud83d\ude00"]}`,
		`{"event":"pusher:unsubscribe","data":{"channel":null}}`, `[]`, `{"event":7}`, "", "\xff", `{"event":"a","event":"b"}`,
	} {
		f.Add([]byte(text))
	}
	var p Parser
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		var m Message
		fault := p.Parse(&m, false, b)
		if string(b) != before {
			t.Fatal("the message was changed")
		}
		if fault != "" {
			if strings.ContainsAny(fault, "\x00\n") || payloads(t, AppendError(nil, CodeBadMessage, fault)) == nil {
				t.Fatalf("fault %q", fault)
			}
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatalf("accepted, but encoding/json finds: %v", err)
		}
		var event string
		if err := json.Unmarshal(fields["event"], &event); err != nil || event != string(m.Event) || event == "" {
			t.Fatalf("event %q, want %q (%v)", m.Event, event, err)
		}
		if IsClientEvent(m.Event) {
			data := ClientData(m.Data)
			payloads(t, AppendEvent(nil, &log.Entry{Channel: "a", Event: event, Data: data}, "a", at, true))
		}
		for _, data := range [][]byte{m.Subscribe.ChannelData, m.Signin.UserData} {
			if u, ok := p.ParseUser(data, "user_id"); ok {
				if !json.Valid(data) || len(u.ID) == 0 || u.Info != nil && !json.Valid(u.Info) {
					t.Fatalf("a user in %q: %q %q", data, u.ID, u.Info)
				}
			}
		}
	})
}

func TestParseMakesNoGarbage(t *testing.T) {
	var p Parser
	var m Message
	text := []byte(`{"event":"client-typing","channel":"private-a","data":{"who":1}}`)
	p.Parse(&m, false, text)
	if n := testing.AllocsPerRun(100, func() { p.Parse(&m, false, text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	e := &log.Entry{Channel: "orders", Event: "shipped", Data: []byte(strings.Repeat(`{"id":5,"t":1}`, 10))}
	b.ReportAllocs()
	for b.Loop() {
		AppendEvent(nil, e, e.Channel, at, false)
	}
}

func BenchmarkParse(b *testing.B) {
	var p Parser
	var m Message
	text := []byte(`{"event":"pusher:subscribe","data":{"auth":"shop-key:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4","channel":"private-a"}}`)
	b.ReportAllocs()
	for b.Loop() {
		p.Parse(&m, false, text)
	}
}
