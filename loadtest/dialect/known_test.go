package dialect

import "testing"

// TestPusherSignature has the worked example of Pusher's HTTP API reference.
func TestPusherSignature(t *testing.T) {
	body := []byte(`{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`)
	got := sign("7ad3773142a6692b25b8", "POST", "/apps/3/events?auth_key=278d425bdf160c739803", body, 1353088179)
	const want = "/apps/3/events?auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0" +
		"&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// means says what a message is to a connection of a known server, in a step.
func means(t *testing.T, p *Peer, step int, message string) string {
	t.Helper()
	v := p.Data.Values(0, "a")
	is := p.Judge([]byte(message), step, &v)
	found := ""
	for _, payload := range p.Payloads([]byte(message)) {
		found += string(payload)
	}
	switch {
	case is.Expected:
		return "expected " + found
	case is.Rejected:
		return "rejected"
	case is.Reply != nil:
		return "reply " + is.Reply.Text(&v)
	case is.Known:
		return "known"
	}
	return "data " + found
}

func known(t *testing.T, name string) *Peer {
	t.Helper()
	d, err := Named(name)
	if err != nil {
		t.Fatal(err)
	}
	data := Data{}.With("key", "k").With("app", "7")
	p, err := d.Subscriber(data, d.Path, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPusherMessages(t *testing.T) {
	p := known(t, "pusher")
	check := func(step int, message, want string) {
		t.Helper()
		if got := means(t, p, step, message); got != want {
			t.Errorf("step %d, %s: %s, want %s", step, message, got, want)
		}
	}
	check(3, `{"event":"message","channel":"a","data":"L0a"}`, "data L0a")
	check(3, `{"channel":"a","event":"message","data": "\"L0a\""}`, "data L0a") // JSON within, as some libraries send
	check(3, `{"data":"L0a","event":"message","channel":"pusher-like"}`, "data L0a")
	check(3, `{"event":"pusher:pong","data":"{}"}`, "known")
	check(3, `{"event":"pusher_internal:member_added","data":"{}"}`, "known")
	check(3, `{"event":"pusher:ping","data":{}}`, `reply {"event":"pusher:pong","data":{}}`)
	check(2, `{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}`, "expected {}")
	check(0, `{"event": "pusher:connection_established", "data": "{\"socket_id\":\"1.2\"}"}`, `expected {"socket_id":"1.2"}`)
	check(2, `{"event":"pusher:error","data":{"code":4001,"message":"no such app"}}`, "rejected")
	check(2, `{"event":"pusher:subscription_error","data":{}}`, "rejected")
	check(3, `{"event":"pusher`, "rejected")
}

func TestCentrifugoMessages(t *testing.T) {
	p := known(t, "centrifugo")
	check := func(step int, message, want string) {
		t.Helper()
		if got := means(t, p, step, message); got != want {
			t.Errorf("step %d, %s: %s, want %s", step, message, got, want)
		}
	}
	check(2, `{"id":1,"connect":{"client":"x","ping":25}}`, "data ")
	check(2, `{"id":2,"subscribe":{}}`, "expected ")
	check(2, `{"id":2,"subscribe":{"recovered":true,"publications":[{"data":"L0","offset":1},{"data":"L1","offset":2}]}}`, "expected L0L1")
	check(2, `{"id":2,"error":{"code":103,"message":"permission denied"}}`, "rejected")
	check(3, `{"error":{"code":100}}`, "rejected")
	check(3, `{}`, "reply {}")
	check(3, `{"push":{"channel":"a","pub":{"data":"L0","offset":3}}}`, "data L0")
	check(3, `{"push":{"channel":"a","pub":{"data":{"error":"x"}}}}`, `data {"error":"x"}`)
	check(3, `{"push":{"channel":"a","unsubscribe":{"code":1}}}`, "data ")
}

func TestCentrifugoAdvance(t *testing.T) {
	d := known(t, "centrifugo").Dialect
	check := func(cursor, message, want string, gap bool) {
		t.Helper()
		if got, lost := d.Advance([]byte(cursor), []byte(message)); string(got) != want || lost != gap {
			t.Errorf("from %q by %s to %q, gap %t; want %q, %t", cursor, message, got, lost, want, gap)
		}
	}
	const at9, at10 = `,"recover":true,"epoch":"xyz","offset":9`, `,"recover":true,"epoch":"xyz","offset":10`
	check("", `{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","offset":9}}`, at9, false)
	check(at9, `{"push":{"channel":"a","pub":{"data":"L0","offset":10}}}`, at10, false)
	check("", `{"push":{"channel":"a","pub":{"data":"L0","offset":10}}}`, "", false)
	check(at9, `{"push":{"channel":"a","pub":{"data":"L0"}}}`, at9, false)
	check(at9, `{}`, at9, false)
	check("old 9", `{"id":2,"subscribe":{}}`, "", false)
	check("old", `{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","offset":9,"was_recovering":true}}`, at9, true)
	check("old", `{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","offset":9,"was_recovering":true,"recovered":true}}`, at9, false)
}
