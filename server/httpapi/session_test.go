package httpapi_test

import (
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/session"
)

// upgrading are the lines of a handshake.
var upgrading = strings.Join(upgradeLines, "\r\n") + "\r\n"

// aClients is an id that a client has made itself.
var aClients = session.ID{2, 7, 1, 8}

func getWith(target, lines string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + lines + "\r\n"
}

func TestStreamsTellTheirSession(t *testing.T) {
	h := newHarness(t)
	for target, lines := range map[string]string{"/sse?channel=a": "", "/ws?channel=a": upgrading, "/ws?channel=b": upgrading + "Sec-WebSocket-Protocol: peal.v1\r\n"} {
		for query, want := range map[string]session.ID{"": ids.Of(9), "&session=": ids.Of(9), "&session=" + aClients.String(): aClients} {
			c := &loop.Call{In: []byte(getWith(target+query, lines)), Session: 9}
			h.front.Request(c)
			resp, _ := readAnswer(t, "GET", c.Out)
			if got := resp.Header.Values("Peal-Session"); c.Verdict != loop.Stream || len(got) != 1 || got[0] != want.String() {
				t.Errorf("%s%s: verdict %d, Peal-Session %q, want %s", target, query, c.Verdict, got, want)
			} else if adopts := c.Sub.Adopt != nil; adopts != (want == aClients) || adopts && session.ID(*c.Sub.Adopt) != want {
				t.Errorf("%s%s: adopts %v", target, query, c.Sub.Adopt)
			}
		}
	}
}

// A response to a poll that tells a session is for that poll alone; those who have a
// cursor, or a session, share theirs.
func TestPollsTellTheirSessionToWhoIsNew(t *testing.T) {
	h := newHarness(t)
	e := httpapi.NewEncoder(nil, lineage, func(int64) int64 { return 0 }, nil)
	e.Sessions = ids
	for query, tells := range map[string]bool{
		"": true, "&last=3": true, "&session=": true, "&cursor=z-3&session=": true,
		"&cursor=z-3": false, "&session=" + aClients.String(): false, "&cursor=z-3&session=" + aClients.String(): false,
	} {
		c := &loop.Call{In: []byte(get("/poll?channel=a" + query)), Session: 9}
		h.front.Request(c)
		if c.Verdict != loop.Park || c.Sub.Introduce != tells {
			t.Errorf("%s: verdict %d, introduces %v", query, c.Verdict, c.Sub.Introduce)
		}
		if adopts := c.Sub.Adopt != nil; adopts != strings.Contains(query, aClients.String()) {
			t.Errorf("%s: adopts %v", query, c.Sub.Adopt)
		}
	}
	told := map[session.ID]bool{}
	for _, k := range []struct {
		answer fanout.Answer
		raw    bool
	}{{fanout.Answer{Sequence: 4, Introduce: true}, false}, {fanout.Answer{Sequence: 4, Introduce: true}, true}, {fanout.Answer{Sequence: 4}, false}} {
		encoding := dialect.PollJSON
		if k.raw {
			encoding = dialect.PollRaw
		}
		resp, _ := readAnswer(t, "GET", e.AppendAnswer(nil, encoding, k.answer))
		id, ok := session.Parse([]byte(resp.Header.Get("Peal-Session")))
		if _, known := ids.Session(id); ok != k.answer.Introduce || known || told[id] {
			t.Errorf("%+v: Peal-Session %q", k, resp.Header.Values("Peal-Session"))
		}
		told[id] = ok
	}
}

func TestASessionThatIsNoneIsRefused(t *testing.T) {
	h := newHarness(t)
	for _, text := range []string{"7", "AAAAAAAAAAAAAAAAAAAAAA", aClients.String() + "A", strings.Repeat("x", 300)} {
		for _, target := range []string{"/sse", "/poll"} {
			if resp, body := h.answer(get(target + "?session=" + text)); resp.StatusCode != 400 || !strings.Contains(body, `"code":"bad_session"`) {
				t.Errorf("%s %s: %d %s", target, text, resp.StatusCode, body)
			}
		}
		c := h.call(getWith("/ws?session="+text, upgrading))
		if _, end, _ := strings.Cut(string(c.Out), "\r\n\r\n"); c.Verdict != loop.ReplyClose || !strings.Contains(end, "bad_session: ") {
			t.Errorf("/ws %s: verdict %d, %q", text, c.Verdict, c.Out)
		}
	}
	if resp, body := h.answer(get("/sse?session=" + aClients.String() + "&session=" + ids.Of(1).String())); resp.StatusCode != 400 || !strings.Contains(body, "contradiction") {
		t.Errorf("two sessions: %d %s", resp.StatusCode, body)
	}
}
