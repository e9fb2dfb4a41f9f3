package httpapi_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/app"
	"peal/server/ban"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/log"
	"peal/server/presence"
	"peal/server/pusher"
	"peal/server/rate"
	"peal/server/rules"
)

const (
	appKey    = "shop-key"
	appSecret = "the-secret-of-the-shop"
)

// sign is KEY:SIGNATURE of a text, by a second implementation.
func sign(text string) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(text))
	return appKey + ":" + hex.EncodeToString(mac.Sum(nil))
}

// clientSocketID is that of the fake client.
var clientSocketID = pusher.SocketID(ids.Of(7))

// pusherClient is a fake client of the Pusher protocol.
type pusherClient struct {
	fakeClient
	cursors bool
}

func (c *pusherClient) Dialect() ring.Encoding {
	if c.cursors {
		return dialect.PusherCursors
	}
	return dialect.Pusher
}

// pusherHarness has a Front with one app, whose definition change may change, and the client
// of session 7 on it.
func pusherHarness(t *testing.T, change func(d *app.Definition), deps func(d *httpapi.Deps)) (*harness, *pusherClient) {
	h := newHarness(t)
	definition := app.Definition{ID: "1", Key: appKey, Secret: appSecret}
	if change != nil {
		change(&definition)
	}
	apps, err := app.New([]app.Definition{definition}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Sessions: ids, Apps: apps,
		Presence: presence.New(presence.Config{}, func(string) bool { return true }, time.Now)}
	if deps != nil {
		deps(&d)
	}
	h.front = httpapi.New(d)
	c := &pusherClient{}
	call := connect(h, "/app/"+appKey+"?protocol=7&client=js&version=8.6.0&flash=false")
	if call.Verdict != loop.Stream || !call.Sub.Commands || !call.Sub.Named {
		t.Fatalf("verdict %v, out %q", call.Verdict, call.Out)
	}
	h.front.Open(c, call.Sub)
	if got, want := take(t, c), `{"event":"pusher:connection_established","data":"{\"socket_id\":\"`+clientSocketID+`\",\"activity_timeout\":120}"}`; got != want {
		t.Fatalf("greeting\n%s, want\n%s", got, want)
	}
	return h, c
}

func connect(h *harness, target string) *loop.Call {
	call := &loop.Call{In: []byte("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), Conn: loop.Ref{Slot: 7, Generation: 1}, Session: 7}
	h.front.Request(call)
	return call
}

// take is what was written to the client since the last call.
func take(t *testing.T, c *pusherClient) string {
	t.Helper()
	all := frames(t, c.written)
	c.written = nil
	for _, f := range all {
		if !json.Valid([]byte(f)) {
			t.Errorf("written %q", f)
		}
	}
	return strings.Join(all, "\n")
}

func tell(t *testing.T, h *harness, c *pusherClient, message string) string {
	t.Helper()
	if code, reason := h.front.Message(c, false, []byte(message)); code != 0 {
		t.Errorf("%s: closed with %d %s", message, code, reason)
	}
	return take(t, c)
}

func TestPusherHandshake(t *testing.T) {
	h, _ := pusherHarness(t, func(d *app.Definition) { d.MaxConnections = 1 }, nil)
	for target, want := range map[string]struct {
		code int
		text string
	}{
		"/app/" + appKey + "?protocol=7":     {4100, "too_many_connections"},
		"/app/other?protocol=7":              {4001, "unknown_app"},
		"/app/" + appKey:                     {4008, "bad_protocol"},
		"/app/" + appKey + "?protocol=4":     {4007, "bad_protocol"},
		"/app/" + appKey + "?protocol=8":     {4007, "bad_protocol"},
		"/app/" + appKey + "?protocol=seven": {4006, "bad_protocol"},
	} {
		call := connect(h, target)
		head, rest, _ := bytes.Cut(call.Out, []byte("\r\n\r\n"))
		if call.Verdict != loop.ReplyClose || !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
			t.Errorf("%s: verdict %v, %s", target, call.Verdict, head)
			continue
		}
		at := bytes.LastIndexByte(rest, 0x88) // the last frame is the close
		event, end := rest[:at], rest[at:]
		text := strings.Join(frames(t, event), "")
		if prefix := fmt.Sprintf(`{"event":"pusher:error","data":{"code":%d,"message":"%s: `, want.code, want.text); !strings.HasPrefix(text, prefix) {
			t.Errorf("%s: %s, want %s…", target, text, prefix)
		}
		if code := int(end[2])<<8 | int(end[3]); code != want.code {
			t.Errorf("%s: close %d, want %d", target, code, want.code)
		}
	}
	h.front.Left(7)
	if call := connect(h, "/app/"+appKey+"?protocol=7"); call.Verdict != loop.Stream {
		t.Errorf("there is room again: verdict %v", call.Verdict)
	}
	if resp, _ := h.answer(get("/app/" + appKey + "?protocol=7")); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: %d", resp.StatusCode)
	}
	if resp, body := newHarness(t).answer(get("/app/x?protocol=7")); resp.StatusCode != 404 || !strings.Contains(body, "REVERB_APP_ID") {
		t.Errorf("without apps: %d %s", resp.StatusCode, body)
	}
	call := &loop.Call{In: []byte("GET /app/" + appKey + "?protocol=7 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), Draining: true}
	if h.front.Request(call); call.Verdict != loop.ReplyClose || !bytes.Contains(call.Out, []byte("draining")) || !bytes.Contains(call.Out, []byte{0x10, 0x04}) { // 4100
		t.Errorf("while it drains: %q", call.Out)
	}
}

// Each message of a client, and what it gets.
func TestPusherMessages(t *testing.T) {
	member := func(channel, id string) string {
		data := fmt.Sprintf(`{"user_id":%q,"user_info":{"name":"Ann"}}`, id)
		quoted, _ := json.Marshal(data)
		return fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":%q,"auth":%q,"channel_data":%s}}`, channel, sign(clientSocketID+":"+channel+":"+data), quoted)
	}
	subscribe := func(channel string) string {
		return fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":%q,"auth":%q}}`, channel, sign(clientSocketID+":"+channel))
	}
	signIn := func(data string) string {
		quoted, _ := json.Marshal(data)
		return fmt.Sprintf(`{"event":"pusher:signin","data":{"auth":%q,"user_data":%s}}`, sign(clientSocketID+"::user::"+data), quoted)
	}
	succeeded := func(channel string) string {
		return `{"event":"pusher_internal:subscription_succeeded","channel":"` + channel + `","data":"{}"}`
	}
	refused := func(channel, kind, code string) string {
		return `{"event":"pusher:subscription_error","channel":"` + channel + `","data":"{\"type\":\"` + kind + `\",\"error\":\"` + code + `: `
	}
	failed := func(code int, text string) string {
		return fmt.Sprintf(`{"event":"pusher:error","data":{"code":%d,"message":"%s`, code, text)
	}
	for name, steps := range map[string][][2]string{
		"ping":                          {{`{"event":"pusher:ping","data":{}}`, `{"event":"pusher:pong","data":"{}"}`}, {`{"event":"pusher:ping"}`, `{"event":"pusher:pong","data":"{}"}`}},
		"pong":                          {{`{"event":"pusher:pong","data":{}}`, ""}},
		"no JSON":                       {{`{"event":`, failed(4200, "invalid message format")}, {`[]`, failed(4200, "invalid message format")}, {``, failed(4200, "invalid message format")}},
		"no event":                      {{`{"data":{}}`, failed(4200, "invalid message format: event")}, {`{"event":7}`, failed(4200, "invalid message format: event")}, {`{"event":""}`, failed(4200, "invalid message format: event")}},
		"an unknown event":              {{`{"event":"pusher:unknown","data":{}}`, failed(4200, "there is no event of that name")}, {`{"event":"x"}`, failed(4200, "there is no event")}},
		"a number as channel":           {{`{"event":"pusher:subscribe","data":{"channel":7}}`, failed(4200, "invalid message format: data")}, {`{"event":"client-x","channel":7}`, failed(4200, "invalid message format: channel")}},
		"subscribe without data":        {{`{"event":"pusher:subscribe"}`, failed(4200, "invalid message format: data")}, {`{"event":"pusher:subscribe","data":"x"}`, failed(4200, "invalid message format: data")}},
		"a public channel":              {{`{"event":"pusher:subscribe","data":{"auth":"","channel":"orders"}}`, succeeded("orders")}},
		"data as a string":              {{`{"event":"pusher:subscribe","data":"{\"channel\":\"orders\"}"}`, succeeded("orders")}},
		"twice the same":                {{`{"event":"pusher:subscribe","data":{"channel":"orders"}}`, succeeded("orders")}, {`{"event":"pusher:subscribe","data":{"channel":"orders"}}`, succeeded("orders")}},
		"no name":                       {{`{"event":"pusher:subscribe","data":{"channel":""}}`, `{"event":"pusher:subscription_error","data":"{\"type\":\"InvalidChannel\"`}, {`{"event":"pusher:subscribe","data":{"channel":"a b"}}`, refused("a b", "InvalidChannel", "bad_channel")}, {`{"event":"pusher:subscribe","data":{"channel":"shop:orders"}}`, refused("shop:orders", "InvalidChannel", "bad_channel")}, {`{"event":"pusher:subscribe","data":{"channel":"$user:42"}}`, refused("$user:42", "InvalidChannel", "bad_channel")}},
		"a very long name":              {{`{"event":"pusher:subscribe","data":{"channel":"` + strings.Repeat("x", 300) + `"}}`, failed(4200, "bad_channel")}},
		"a private channel":             {{subscribe("private-a"), succeeded("private-a")}},
		"without a signature":           {{`{"event":"pusher:subscribe","data":{"channel":"private-a"}}`, refused("private-a", "AuthError", "signature_invalid")}},
		"that of another":               {{strings.Replace(subscribe("private-a"), "private-a", "private-b", 1), refused("private-b", "AuthError", "signature_invalid")}},
		"an encrypted channel":          {{subscribe("private-encrypted-a"), succeeded("private-encrypted-a")}},
		"too many channels":             {{`{"event":"pusher:subscribe","data":{"channel":"a"}}`, succeeded("a")}, {`{"event":"pusher:subscribe","data":{"channel":"b"}}`, succeeded("b")}, {`{"event":"pusher:subscribe","data":{"channel":"c"}}`, refused("c", "LimitReached", "too_many_channels")}, {`{"event":"pusher:unsubscribe","data":{"channel":"a"}}`, ""}, {`{"event":"pusher:subscribe","data":{"channel":"c"}}`, succeeded("c")}},
		"unsubscribe what is not there": {{`{"event":"pusher:unsubscribe","data":{"channel":"a"}}`, ""}, {`{"event":"pusher:unsubscribe","data":{"channel":"$x"}}`, ""}},
		"a presence channel":            {{member("presence-a", "7"), `{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"7\"],\"hash\":{\"7\":{\"name\":\"Ann\"}},\"count\":1}}"}`}},
		"presence without data":         {{subscribe("presence-a"), refused("presence-a", "ServerError", "bad_client")}},
		"a number as user_id": {{strings.ReplaceAll(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-a","auth":%q,"channel_data":"{'user_id':10}"}}`, sign(clientSocketID+`:presence-a:{"user_id":10}`)), "'", `\"`),
			`{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"10\"],\"hash\":{\"10\":null},\"count\":1}}"}`}},
		"presence without user_id": {{strings.ReplaceAll(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-a","auth":%q,"channel_data":"{'user':10}"}}`, sign(clientSocketID+`:presence-a:{"user":10}`)), "'", `\"`), refused("presence-a", "ServerError", "bad_client")}},
		"sign in": {{signIn(`{"id":"42","name":"Ann"}`), `{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"42\\\",\\\"name\\\":\\\"Ann\\\"}\"}"}`},
			{`{"event":"pusher:subscribe","data":{"channel":"#server-to-user-42","auth":""}}`, succeeded("#server-to-user-42")},
			{`{"event":"pusher:subscribe","data":{"channel":"#server-to-user-43"}}`, refused("#server-to-user-43", "AuthError", "signature_invalid")},
			{signIn(`{"id":"42"}`), `{"event":"pusher:signin_success"`}, {signIn(`{"id":"43"}`), failed(4009, "client_mismatch")}},
		"a user without sign in":           {{`{"event":"pusher:subscribe","data":{"channel":"#server-to-user-42"}}`, refused("#server-to-user-42", "AuthError", "signature_invalid")}},
		"a wrong signature":                {{`{"event":"pusher:signin","data":{"auth":"` + sign("x") + `","user_data":"{\"id\":\"42\"}"}}`, failed(4009, "signature_invalid")}, {`{"event":"pusher:signin","data":{}}`, failed(4009, "signature_invalid")}},
		"a user without id":                {{signIn(`{"name":"x"}`), failed(4009, "bad_client")}, {signIn(`{"id":""}`), failed(4009, "bad_client")}, {signIn(`{"id":"a:b"}`), failed(4009, "bad_client")}},
		"a client event":                   {{subscribe("private-a"), succeeded("private-a")}, {`{"event":"client-x","channel":"private-a","data":{"a":1}}`, ""}},
		"on a public channel":              {{`{"event":"pusher:subscribe","data":{"channel":"a"}}`, succeeded("a")}, {`{"event":"client-x","channel":"a","data":{}}`, failed(4301, "publish_not_allowed")}},
		"without a subscription":           {{`{"event":"client-x","channel":"private-a","data":{}}`, failed(4301, "publish_not_allowed")}},
		"on an encrypted channel":          {{subscribe("private-encrypted-a"), succeeded("private-encrypted-a")}, {`{"event":"client-x","channel":"private-encrypted-a","data":{}}`, failed(4301, "publish_not_allowed")}},
		"a client event without a channel": {{`{"event":"client-x","data":{}}`, failed(4200, "bad_channel")}},
		"a long name of an event":          {{subscribe("private-a"), succeeded("private-a")}, {`{"event":"client-` + strings.Repeat("x", 200) + `","channel":"private-a","data":{}}`, failed(4200, "bad_event")}},
		"a cache channel":                  {{`{"event":"pusher:subscribe","data":{"channel":"cache-a"}}`, succeeded("cache-a") + "\n" + `{"event":"pusher:cache_miss","channel":"cache-a","data":"{}"}`}},
		"a private cache channel":          {{subscribe("private-cache-a"), succeeded("private-cache-a") + "\n" + `{"event":"pusher:cache_miss","channel":"private-cache-a","data":"{}"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			h, c := pusherHarness(t, nil, func(d *httpapi.Deps) { d.Limits.ChannelLimit = 2 })
			for _, s := range steps {
				got := tell(t, h, c, s[0])
				if s[1] == "" && got != "" || !strings.HasPrefix(got, s[1]) {
					t.Errorf("%s\ngets  %s\nwant %s", s[0], got, s[1])
				}
				if c.closed != 0 {
					t.Errorf("%s: closed with %d", s[0], c.closed)
				}
			}
		})
	}
}

func TestPusherBinaryFrame(t *testing.T) {
	h, c := pusherHarness(t, nil, nil)
	if code, _ := h.front.Message(c, true, []byte(`{"event":"pusher:ping"}`)); code != 0 || !strings.Contains(take(t, c), `"code":4200`) {
		t.Error("a binary frame has no answer, or ends the connection")
	}
}

// What a client event becomes in the log.
func TestPusherClientEventInTheLog(t *testing.T) {
	h, c := pusherHarness(t, func(d *app.Definition) { d.Namespace = "shop:" }, nil)
	data := `{"user_id":"7","user_info":{}}`
	quoted, _ := json.Marshal(data)
	tell(t, h, c, fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-a","auth":%q,"channel_data":%s}}`, sign(clientSocketID+":presence-a:"+data), quoted))
	tell(t, h, c, fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-a","auth":%q}}`, sign(clientSocketID+":private-a")))
	for _, s := range []struct{ channel, sent, want, user string }{
		{"presence-a", `{"a": 1}`, `{"a": 1}`, "7"}, {"presence-a", `"text"`, `text`, "7"}, {"private-a", `[1,2]`, `[1,2]`, ""}, {"private-a", `null`, `null`, ""},
	} {
		if got := tell(t, h, c, fmt.Sprintf(`{"event":"client-x","channel":%q,"data":%s}`, s.channel, s.sent)); got != "" {
			t.Errorf("%s gets %s", s.sent, got)
		}
		e := h.log.entries[len(h.log.entries)-1]
		if e.Channel != "shop:"+s.channel || e.Event != "client-x" || string(e.Data) != s.want || e.Exclude == nil || *e.Exclude != ids.Of(7) || e.Tags[log.UserTag] != s.user {
			t.Errorf("%s is %+v", s.sent, e)
		}
	}
	if want := []string{"$presence:shop:presence-a", "shop:presence-a", "shop:private-a"}; !slices.Equal(c.channels, want) {
		t.Errorf("channels %q, want %q", c.channels, want)
	}
	tell(t, h, c, `{"event":"pusher:unsubscribe","data":{"channel":"presence-a"}}`)
	if want := []string{"shop:private-a"}; !slices.Equal(c.channels, want) {
		t.Errorf("channels %q, want %q", c.channels, want)
	}
}

func TestPusherClientEventsAreLimited(t *testing.T) {
	subscribe := fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-a","auth":%q}}`, sign(clientSocketID+":private-a"))
	now := time.Duration(0)
	h, c := pusherHarness(t, func(d *app.Definition) { d.ClientEventRate = rate.PerSecond(2) }, func(d *httpapi.Deps) {
		d.Buckets, d.Monotonic = rate.New(10), func() time.Duration { return now }
	})
	tell(t, h, c, subscribe)
	event := `{"event":"client-x","channel":"private-a","data":{}}`
	for i, want := range []string{"", "", "rate_limited"} {
		if got := tell(t, h, c, event); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("event %d gets %q", i, got)
		}
	}
	now += time.Second
	if got := tell(t, h, c, event); got != "" || len(h.log.entries) != 3 {
		t.Errorf("a second later it gets %q, %d entries", got, len(h.log.entries))
	}
	h, c = pusherHarness(t, func(d *app.Definition) { d.ClientEvents = rules.No }, nil)
	tell(t, h, c, subscribe)
	if got := tell(t, h, c, event); !strings.HasPrefix(got, `{"event":"pusher:error","data":{"code":4301,"message":"publish_not_allowed`) || len(h.log.entries) != 0 {
		t.Errorf("an app without client events: %s", got)
	}
}

func asMember(id string) string {
	data := fmt.Sprintf(`{"user_id":%q}`, id)
	quoted, _ := json.Marshal(data)
	return fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-a","auth":%q,"channel_data":%s}}`, sign(clientSocketID+":presence-a:"+data), quoted)
}

func TestPusherMembersAreLimited(t *testing.T) {
	table := presence.New(presence.Config{}, func(string) bool { return true }, time.Now)
	h, c := pusherHarness(t, func(d *app.Definition) { d.MaxMembers = 1 }, func(d *httpapi.Deps) { d.Presence = table })
	table.Enter(1, "8", "").Sit([]string{"presence-a"}, "8", "", func(int) bool { return true })
	for _, s := range [][2]string{{"7", `\"type\":\"LimitReached\",\"error\":\"presence_full`}, {"8", "succeeded"}} {
		if got := tell(t, h, c, asMember(s[0])); !strings.Contains(got, s[1]) {
			t.Errorf("member %s gets %s", s[0], got)
		}
	}
}

// A list of members costs its client what it costs the loop, also each time that it subscribes anew.
func TestPusherMembersCostTheirBytes(t *testing.T) {
	table := presence.New(presence.Config{}, func(string) bool { return true }, time.Now)
	h, c := pusherHarness(t, nil, func(d *httpapi.Deps) { d.Presence = table })
	info := `{"name":"` + strings.Repeat(`\"`, 500) + `"}`
	for i := range 10 {
		client := fmt.Sprint("m", i)
		table.Enter(1, client, info).Sit([]string{"presence-a"}, client, info, func(int) bool { return true })
	}
	for range 2 {
		before := c.spent
		if n, spent := len(tell(t, h, c, asMember("7"))), c.spent-before; n < 10*2000 || spent < n/256 {
			t.Errorf("a list of %d bytes cost %d units, want at least %d", n, spent, n/256)
		}
	}
}

// A connection has one place on a presence channel, however often it subscribes.
func TestPusherMembersHaveOnePlace(t *testing.T) {
	table := presence.New(presence.Config{}, func(string) bool { return true }, time.Now)
	h, c := pusherHarness(t, nil, func(d *httpapi.Deps) { d.Presence = table })
	for range 3 {
		if got := tell(t, h, c, asMember("7")); !strings.Contains(got, `\"ids\":[\"7\"]`) {
			t.Errorf("subscribed anew: %s", got)
		}
	}
	if got := tell(t, h, c, asMember("8")); !strings.Contains(got, `\"type\":\"AuthError\",\"error\":\"client_mismatch`) {
		t.Errorf("another member on the same connection: %s", got)
	}
	members := table.List("presence-a", "", 10).Members
	if len(members) != 1 || members[0].Client != "7" || table.Connections("presence-a") != 1 {
		t.Errorf("members %+v with %d connections, want 7 with one", members, table.Connections("presence-a"))
	}
	tell(t, h, c, `{"event":"pusher:unsubscribe","data":{"channel":"presence-a"}}`)
	if n := table.Connections("presence-a"); n != 0 {
		t.Errorf("%d connections have stayed", n)
	}
	if got := tell(t, h, c, asMember("8")); !strings.Contains(got, "succeeded") {
		t.Errorf("another member later: %s", got)
	}
}

// The server sends cursors to a client that knows Peal, which goes on from one.
func TestPusherResume(t *testing.T) {
	h, c := pusherHarness(t, nil, nil)
	h.log.head = 7
	if got := tell(t, h, c, `{"event":"pusher:subscribe","data":{"channel":"a","cursor":"z-3"}}`); got != `{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}` {
		t.Errorf("without peal=1 it gets %s", got)
	}
	if s := c.subscribed[0]; s.From != fanout.After || s.Sequence != 3 {
		t.Errorf("it begins at %v %d", s.From, s.Sequence)
	}
	c.cursors = true
	if got := tell(t, h, c, `{"event":"pusher:subscribe","data":{"channel":"cache-b","cursor":"z-3"}}`); got != `{"event":"pusher_internal:subscription_succeeded","channel":"cache-b","data":"{}","cursor":"z-3"}` {
		t.Errorf("with peal=1 it gets %s", got)
	}
	if got := tell(t, h, c, `{"event":"pusher:subscribe","data":{"channel":"d"}}`); got != `{"event":"pusher_internal:subscription_succeeded","channel":"d","data":"{}","cursor":"z-5"}` {
		t.Errorf("from now on it gets %s", got)
	}
	if call := connect(h, "/app/"+appKey+"?protocol=7&peal=1"); call.Sub == nil || call.Sub.Dialect != dialect.PusherCursors {
		t.Errorf("peal=1 selects %+v", call.Sub)
	}
}

// With auth token, public channels of an app are open if it says so and no rule says
// otherwise.
func TestPusherPublicChannelsWithAuthToken(t *testing.T) {
	table := rules.New([]rules.Rule{{Match: "shop:secret", Subscribe: rules.Token}, {Match: "shop:old", HistoryMessages: 7}, {Match: "shop:private-b", Subscribe: rules.Backend}}, rules.Rule{Subscribe: rules.Token, Publish: rules.Token})
	for public, want := range map[rules.Choice]map[string]string{
		rules.Yes: {"a": "succeeded", "old": "succeeded", "secret": "token_missing"},
		rules.No:  {"a": "token_missing", "old": "token_missing", "secret": "token_missing"},
	} {
		h, c := pusherHarness(t, func(d *app.Definition) { d.Namespace, d.Public = "shop:", public }, func(d *httpapi.Deps) { d.Rules, d.NeedsToken = table, true })
		for channel, want := range want {
			if got := tell(t, h, c, fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":%q}}`, channel)); !strings.Contains(got, want) {
				t.Errorf("public %v, %s gets %s", public, channel, got)
			}
		}
		for channel, want := range map[string]string{"private-a": "succeeded", "private-b": "token_missing"} {
			if got := tell(t, h, c, fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":%q,"auth":%q}}`, channel, sign(clientSocketID+":"+channel))); !strings.Contains(got, want) {
				t.Errorf("public %v, %s gets %s", public, channel, got)
			}
		}
	}
}

// A user that the backend has disconnected does not come back, and is found by name.
func TestPusherUsersAreDisconnected(t *testing.T) {
	bans := ban.New(10, 10, time.Now)
	h, c := pusherHarness(t, nil, func(d *httpapi.Deps) { d.Bans = bans })
	signIn := fmt.Sprintf(`{"event":"pusher:signin","data":{"auth":%q,"user_data":"{\"id\":\"42\"}"}}`, sign(clientSocketID+`::user::{"id":"42"}`))
	if h.front.DismissAmong(7, func(client string) bool { return client == "42" }) {
		t.Error("found before it has signed in")
	}
	tell(t, h, c, signIn)
	if !h.front.DismissAmong(7, func(client string) bool { return client == "42" }) {
		t.Error("a user that has signed in is not found")
	}
	h.front.Left(7)
	bans.Ban(1, []string{"42"}, time.Hour)
	connect(h, "/app/"+appKey+"?protocol=7")
	if tell(t, h, c, signIn); c.closed != 4410 {
		t.Errorf("a user that is kept away is closed with %d", c.closed)
	}
}

// A reload ends the connections of apps that are gone or have changed.
func TestPusherReload(t *testing.T) {
	h, c := pusherHarness(t, nil, nil)
	use := func(d ...app.Definition) {
		t.Helper()
		apps, err := app.New(d, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		h.front.Reload(httpapi.Limits{}, rules.New(nil, rules.Rule{}), nil, httpapi.Deps{}.Identity, apps)
	}
	same := app.Definition{ID: "1", Key: appKey, Secret: appSecret, ClientEvents: rules.No}
	use(same)
	if h.front.Unserved(7) != nil {
		t.Error("the same app ends its connections")
	}
	tell(t, h, c, fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-a","auth":%q}}`, sign(clientSocketID+":private-a")))
	if got := tell(t, h, c, `{"event":"client-x","channel":"private-a","data":{}}`); !strings.Contains(got, "client-events") {
		t.Errorf("the limits of before hold: %s", got)
	}
	changed := same
	changed.Secret = "another-secret"
	use(changed)
	if end := h.front.Unserved(7); end == nil || end.Code != 4001 {
		t.Errorf("another secret: %+v", end)
	}
	if got := tell(t, h, c, `{"event":"pusher:ping"}`); got != "" {
		t.Errorf("a connection whose end is under way gets %s", got)
	}
}
