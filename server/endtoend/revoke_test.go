package endtoend_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server"
	"peal/server/apikey"
	"peal/server/ban"
	"peal/server/control"
	logfile "peal/server/log/file"
	"peal/server/revoke"
	"peal/server/token"
)

// tokenSecret signs the tokens of these tests.
const tokenSecret = "a secret of tests with 32 bytes or more"

// tokenOf is a token of a user with an ID, which was issued that long ago and may
// subscribe to room and publish there.
func tokenOf(t testing.TB, sub, jti string, ago time.Duration) string {
	t.Helper()
	text, err := token.Sign(tokenSecret, token.Claims{
		Subject: sub, ID: jti, Subscribe: []string{"room"}, Publish: []string{"room"}, Presence: []string{"room"},
		Issued: time.Now().Add(-ago), Lifetime: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// startSecret is a server with keys and with tokens that tokenSecret signs.
func startSecret(t testing.TB) *guarded {
	t.Helper()
	g := startGuarded(t, map[string][]string{
		"all":  {"publish", "subscribe", "inspect", "disconnect", "revoke"},
		"less": {"publish", "subscribe", "inspect", "disconnect"},
	}, func(c *server.Config) { c.Token.Secrets = []string{tokenSecret} })
	g.proof = g.keys["all"]
	return g
}

// revoked is the response to a request to revoke.
type revoked struct {
	Revoked, Disconnected int
	NotDurable            bool `json:"not_durable"`
}

func (p *peal) revoke(query string) revoked {
	p.t.Helper()
	a := p.do("POST", "/revoke?"+query, "")
	if a.status != 200 {
		p.t.Fatalf("POST /revoke?%s: %d %s", query, a.status, a.body)
	}
	return decode[revoked](p.t, a.body)
}

// carriers are ways to be on the channel room with a token. What they return waits
// for the end.
var carriers = map[string]func(p *peal, token string) bound{
	"raw WebSocket": func(p *peal, token string) bound {
		return boundSocket(p.dialSocket("/ws?channel=room", proving(token)))
	},
	"JSON WebSocket": func(p *peal, token string) bound {
		return boundSocket(p.dialSocket("/ws?format=json&channel=room&token="+token, nil))
	},
	"peal.v1": func(p *peal, token string) bound {
		return boundSocket(p.dialSocket("/ws?channel=room", http.Header{"Sec-Websocket-Protocol": {"peal.v1, peal.token." + token}}))
	},
	"peal.v1 without a channel": func(p *peal, token string) bound {
		s := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1, peal.token." + token}})
		s.next() // connected
		return boundSocket(s)
	},
	"SSE": func(p *peal, token string) bound {
		stream := p.events("channel=room", bearer(token)).opened()
		return func() string {
			_, err := stream.tryNext()
			return fmt.Sprint("end ", err == io.EOF)
		}
	},
	"poll": func(p *peal, token string) bound {
		before := p.subscribers("room")
		ended := make(chan string, 1)
		go func() { // ends with the answer
			a, err := p.try("GET", "/poll?channel=room", "", bearer(token))
			ended <- fmt.Sprintf("%d %t %v %v", a.status, a.closing, codeOf(a), err)
		}()
		p.awaitSubscribers("room", before+1)
		return func() string { return <-ended }
	},
}

// endings is how each ends by an order; a poll has the status and the code as its
// response.
func endings(poll string) map[string]string {
	return map[string]string{
		"raw WebSocket": "close 4410", "JSON WebSocket": "close 4410", "peal.v1": "close 4410", "peal.v1 without a channel": "close 4410",
		"SSE": "end true", "poll": poll,
	}
}

var (
	revokedEnd = endings("401 true token_revoked <nil>")
	provenEnd  = endings("410 true disconnected <nil>")
)

func proving(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func codeOf(a answer) string {
	var p problem
	_ = json.Unmarshal(a.body, &p) // else there is none
	return p.Error.Code
}

// enter is what a client gets that comes with the token, on each transport: "ok" where
// all are let in.
func (p *peal) enter(token string) string {
	p.t.Helper()
	got := map[string]bool{}
	for _, protocol := range []string{"", "peal.raw", "peal.v1"} {
		header := proving(token)
		if protocol != "" {
			header.Set("Sec-Websocket-Protocol", protocol)
		}
		s := p.dialSocket("/ws?channel=room&last=1&format="+map[bool]string{true: "", false: "json"}[protocol != ""], header)
		select {
		case f := <-s.got:
			if f.data == "" {
				p.t.Errorf("%s: an empty message", protocol)
			}
			got["ok"] = true
			s.close()
		case <-s.ended:
			got[fmt.Sprint(s.code)] = true
		case <-time.After(patience):
			p.t.Fatal("nothing comes")
		}
	}
	for _, path := range []string{"/poll?channel=room&last=1", "/sse?channel=room&last=1"} {
		r, err := http.NewRequest("GET", p.url+path, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		r.Header = proving(token)
		response, err := p.client.Transport.RoundTrip(r)
		if err != nil {
			p.t.Fatal(err)
		}
		if response.StatusCode == 200 {
			got["ok"] = true
			response.Body.Close()
			continue
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		got[fmt.Sprint(response.StatusCode, " ", codeOf(answer{body: body}))] = true
	}
	a := p.do("POST", "/publish?channel=room", "from a client", bearer(token))
	if got["ok"] {
		if a.status != 200 {
			got[fmt.Sprint("publish ", a.status)] = true
		}
	} else {
		got[fmt.Sprint(a.status, " ", codeOf(a))] = true
	}
	all := make([]string, 0, len(got))
	for _, one := range []string{"ok", "4401", "4403", "4410", "401 token_revoked", "401 control_state_lost"} {
		if got[one] {
			all = append(all, one)
			delete(got, one)
		}
	}
	if len(got) > 0 {
		p.t.Errorf("%v", got)
	}
	return strings.Join(all, ", ")
}

const (
	isRevoked = "4410, 401 token_revoked"
	isUnknown = "4401, 401 control_state_lost"
)

func TestRevokeEndsAllConnectionsWithTheToken(t *testing.T) {
	for _, c := range []struct {
		query string
		newer bool // a newer token of the user is revoked, too
	}{
		{"sub=ann", false},
		{"jti=ann-1", false},
		{"sub=ann&before=" + fmt.Sprint(time.Now().Add(time.Minute).Unix()), true},
	} {
		p := startSecret(t)
		p.publish("room", "first")
		old, newer, bobs := tokenOf(t, "ann", "ann-1", 0), tokenOf(t, "ann", "ann-2", -5*time.Second), tokenOf(t, "bob", "bob-1", 0)
		ends, newEnds := map[string]bound{}, map[string]bound{}
		for way, carry := range carriers {
			ends[way] = carry(p.peal, old)
			newEnds[way] = carry(p.peal, newer)
		}
		bob := p.events("channel=room", bearer(bobs)).opened()
		want := len(carriers)
		if c.newer {
			want *= 2
		}
		if r := p.revoke(c.query); r != (revoked{Revoked: 1, Disconnected: want}) {
			t.Errorf("%s: %+v, want %d connections to end", c.query, r, want)
		}
		for way, end := range ends {
			if got := end(); got != revokedEnd[way] {
				t.Errorf("%s: %s ended with %s, want %s", c.query, way, got, revokedEnd[way])
			}
		}
		if c.newer {
			for way, end := range newEnds {
				if got := end(); got != revokedEnd[way] {
					t.Errorf("%s: the newer %s ended with %s, want %s", c.query, way, got, revokedEnd[way])
				}
			}
		} else if n := p.subscribers("room"); n != len(carriers)-1+1 {
			t.Errorf("%s: %d subscribers are left, want %d", c.query, n, len(carriers))
		}
		p.publish("room", "who is left")
		if e := bob.next(); e.data != "who is left" {
			t.Errorf("bob has %+v", e)
		}
		if got := p.enter(old); got != isRevoked {
			t.Errorf("%s: the old token: %s, want %s", c.query, got, isRevoked)
		}
		if got, want := p.enter(newer), map[bool]string{true: isRevoked, false: "ok"}[c.newer]; got != want {
			t.Errorf("%s: the newer token: %s, want %s", c.query, got, want)
		}
		if got := p.enter(bobs); got != "ok" {
			t.Errorf("%s: the token of bob: %s", c.query, got)
		}
		if r := p.revoke(c.query); r.Disconnected != 0 {
			t.Errorf("%s: %d connections were ended though none is left", c.query, r.Disconnected)
		}
		if a := p.do("POST", "/revoke?sub=bob", "", bearer(p.keys["less"])); a.status != 403 {
			t.Errorf("a key that does not allow it: %d %s", a.status, a.body)
		}
		if a := p.do("POST", "/revoke?sub=bob", "", bearer(bobs)); a.status != 403 {
			t.Errorf("a user: %d %s", a.status, a.body)
		}
	}
}

// Clients come all the time, with tokens that the server has not seen, while these are
// revoked: when that is answered, all of them are gone, and none comes later.
func TestNobodySlipsThroughARevocation(t *testing.T) {
	p := startSecret(t)
	var round atomic.Pointer[string]
	var stop atomic.Bool
	user := "user-0"
	round.Store(&user)
	var guests sync.WaitGroup
	for i := range 6 {
		guests.Go(func() { // ends with stop
			for n := 0; !stop.Load(); n++ {
				sub := *round.Load()
				r, err := http.NewRequest("GET", p.url+[]string{"/sse?channel=room", "/poll?channel=room&timeout=1"}[i%2], nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header = proving(tokenOf(t, sub, fmt.Sprint(sub, "-", i, "-", n), 0))
				response, err := p.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body) // until it is ended
				_ = response.Body.Close()
			}
		})
	}
	ended := 0
	for i := range 20 {
		p.await("somebody is there", func() bool { return p.subscribers("room") > 0 })
		next := fmt.Sprint("user-", i+1)
		before := *round.Load()
		// By a moment in the future: tokens that are signed later are revoked, too.
		ended += p.revoke(fmt.Sprintf("sub=%s&before=%d", before, time.Now().Add(time.Minute).Unix())).Disconnected
		if n := p.subscribers("room"); n != 0 {
			t.Errorf("%d are left", n)
		}
		round.Store(&next) // until here nobody could come
	}
	stop.Store(true)
	p.revoke(fmt.Sprintf("sub=%s&before=%d", *round.Load(), time.Now().Add(time.Minute).Unix()))
	guests.Wait()
	if ended < 20 {
		t.Errorf("%d connections were ended in 20 rounds", ended)
	}
}

// A connection with a token is found by its sub, though it sends no client, and kept
// away under that name.
func TestDisconnectFindsProvenNames(t *testing.T) {
	p := startSecret(t)
	p.publish("room", "first")
	anns, bobs := tokenOf(t, "ann", "", 0), tokenOf(t, "bob", "", 0)
	ends := map[string]bound{}
	for way, carry := range carriers {
		ends[way] = carry(p.peal, anns)
	}
	bob := p.events("channel=room", bearer(bobs)).opened()
	if n := p.disconnect("client=ann"); n != len(carriers) {
		t.Errorf("%d connections were ended, want %d", n, len(carriers))
	}
	for way, end := range ends {
		if got := end(); got != provenEnd[way] {
			t.Errorf("%s ended with %s, want %s", way, got, provenEnd[way])
		}
	}
	if a := p.do("GET", "/poll?channel=room&last=1", "", bearer(anns)); a.status != 410 {
		t.Errorf("ann is back: %d %s", a.status, a.body)
	}
	p.publish("room", "who is left")
	if e := bob.next(); e.data != "who is left" {
		t.Errorf("bob has %+v", e)
	}
	p.disconnect("client=ann&for=0")
	if a := p.do("GET", "/poll?channel=room&last=1", "", bearer(anns)); a.status != 200 {
		t.Errorf("ann may come back: %d %s", a.status, a.body)
	}
}

// began prepares a directory whose log began that long ago, so that tokens of since
// then are known.
func began(t *testing.T, dir string, ago time.Duration) {
	t.Helper()
	past := func() time.Time { return time.Now().Add(-ago) }
	quiet := slog.New(slog.DiscardHandler)
	l, err := logfile.Open(dir, logfile.Config{Log: quiet}, past)
	if err != nil {
		t.Fatal(err)
	}
	c := control.New(l, ban.New(1, 1, past), revoke.New(1, time.Hour, past), past, quiet)
	l.Keep(c)
	if err := l.Start(c, c.Restore); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// secretFlags are those of a server with a key and with tokens that tokenSecret signs.
func secretFlags(t *testing.T, d apikey.Definition) []string {
	t.Helper()
	dir := t.TempDir()
	keys, secret := filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "secret")
	allow, err := json.Marshal(d.Allow)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		keys:   fmt.Sprintf("keys:\n  - {name: %q, digest: %q, allow: %s}\n", d.Name, d.Digest, allow),
		secret: tokenSecret + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--auth", "token", "--key-file", keys, "--token-secret-file", secret}
}

// With the log in files a revocation holds after a restart, whatever ends the server,
// and also after the log has removed the order. A start without the state refuses the
// tokens of before, and logs it; so does the log in memory.
func TestRevocationsAfterAKill(t *testing.T) {
	dir := t.TempDir()
	began(t, dir, 30*time.Minute)
	key, d := createKey(t, "all", "publish", "subscribe", "inspect", "revoke")
	flags := append(secretFlags(t, d), "--listen", "127.0.0.1:0", "--fsync", "always", "--log-segment-bytes", "64KiB", "--log-bytes", "256KiB")
	run := func(log string) *peal {
		p := launch(t, append(flags, "--log", log)...)
		p.proof = key
		return p
	}
	anns, bobs, older := tokenOf(t, "ann", "", time.Minute), tokenOf(t, "bob", "b", time.Minute), tokenOf(t, "cid", "", 40*time.Minute)
	cids := tokenOf(t, "cid", "", time.Minute)
	var p *peal
	check := func(when string, want map[string]string) {
		t.Helper()
		for token, want := range want {
			if got := p.enter(token); got != want {
				t.Errorf("%s: %s of %.0s%s, want %s", when, got, token, map[string]string{anns: "ann", bobs: "bob", cids: "cid", older: "cid, long ago"}[token], want)
			}
		}
	}
	p = run("file:" + dir)
	p.publish("room", "first")
	if r := p.revoke("sub=ann&jti=b"); r.Revoked != 2 || r.NotDurable {
		t.Errorf("%+v", r)
	}
	known := map[string]string{anns: isRevoked, bobs: isRevoked, cids: "ok", older: isUnknown}
	check("at once", known)
	p.killed()
	p = run("file:" + dir)
	check("after a kill", known)
	for range 100 {
		p.publish("other", strings.Repeat("x", 10_000))
	}
	p.publish("room", "again")
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(segments) == 0 || strings.HasSuffix(segments[0], "/00000000000000000001.log") {
		t.Fatalf("%q, %v: the segment of the order is still there", segments, err)
	}
	p.killed()
	p = run("file:" + dir)
	check("after retention has removed the order", known)
	p.killed()
	if err := os.Remove(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	p = run("file:" + dir)
	check("without the state", map[string]string{anns: isUnknown, bobs: isUnknown, cids: isUnknown, tokenOf(t, "cid", "", -5*time.Second): "ok"})
	p.killed()
	if said := p.stderr.String(); !strings.Contains(said, "tokens that were issued before this start are refused") || !strings.Contains(said, "the file state is missing") {
		t.Errorf("the log says nothing of it: %s", said)
	}
	p = run("file:" + dir)
	check("after that", map[string]string{anns: isUnknown, cids: isUnknown})
	p.killed()
	p = run("memory")
	p.publish("room", "first")
	check("with the log in memory", map[string]string{cids: isUnknown, tokenOf(t, "cid", "", -5*time.Second): "ok"})
	p.killed()
	if said := p.stderr.String(); !strings.Contains(said, "tokens that were issued before this start are refused") || !strings.Contains(said, "the log is in memory") {
		t.Errorf("the log says nothing of it: %s", said)
	}
}

// A revocation takes effect although the log cannot store it, and the response says so.
func TestRevocationsWhileTheLogFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	began(t, dir, 30*time.Minute)
	key, d := createKey(t, "all", "publish", "subscribe", "inspect", "revoke")
	flags := append(secretFlags(t, d), "--log", "file:"+dir, "--fsync", "always")
	p := operate(t, nil, nil, "", flags...)
	p.proof = key
	p.publish("room", "first")
	anns, bobs := tokenOf(t, "ann", "", time.Minute), tokenOf(t, "bob", "", time.Minute)
	stream := p.events("channel=room", bearer(anns)).opened()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	p.await("publishing is refused", func() bool { return p.do("POST", "/publish?channel=room", "x").status == 503 })
	if r := p.revoke("sub=ann"); r != (revoked{Revoked: 1, Disconnected: 1, NotDurable: true}) {
		t.Errorf("%+v", r)
	}
	if _, err := stream.tryNext(); err != io.EOF {
		t.Errorf("the stream goes on: %v", err)
	}
	if a := p.do("GET", "/poll?channel=room&last=1", "", bearer(anns)); a.status != 401 {
		t.Errorf("ann: %d %s", a.status, a.body)
	}
	if a := p.do("GET", "/poll?channel=room&last=1", "", bearer(bobs)); a.status != 200 {
		t.Errorf("bob: %d %s", a.status, a.body)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	p.await("the log recovers", func() bool { return p.do("POST", "/publish?channel=room", "x").status == 200 })
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.said())
	}
	p = operate(t, nil, nil, "", flags...)
	p.proof = key
	if got := p.enter(anns); got != isRevoked {
		t.Errorf("after the log has recovered, and a restart: %s", got)
	}
	p.ends()
}
