package outside_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/outside"
	"peal/server"
	"peal/server/apikey"
	"peal/server/rules"
)

func status(r *doctor.Report, check string) doctor.Status {
	for _, f := range r.Findings {
		if f.Check == check {
			return f.Status
		}
	}
	return "absent"
}

// A visitor with few rights gets the checks that need none, and learns what the others
// need.
func TestRightsOfTheVisitor(t *testing.T) {
	key, err := apikey.Create(strings.NewReader(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	peal := serve(t, func(c *server.Config) {
		c.Keys = []apikey.Definition{{Name: "shop", Digest: apikey.Digest(key), Allow: []string{"publish"}}}
	})
	check := func(name, says string, change func(v *outside.Visit), want map[string]doctor.Status) {
		t.Helper()
		r := examine(t, peal, func(v *outside.Visit) { v.Quick = true; change(v) })
		for check, s := range want {
			if got := status(r, check); got != s {
				t.Errorf("%s: %s is %s, want %s\n%s", name, check, got, s, text(r))
			}
		}
		if !strings.Contains(text(r), says) {
			t.Errorf("%s: does not say %q\n%s", name, says, text(r))
		}
	}
	const ok, skipped, failure = doctor.OK, doctor.Skipped, doctor.Failure
	check("nobody", "--token-file", func(v *outside.Visit) { v.Header = nil },
		map[string]doctor.Status{"token": skipped, "authorization": ok, "large-headers": ok, "websocket": ok, "request-body": ok, "event-stream": skipped, "publish": skipped})
	check("a wrong token", "token_invalid", func(v *outside.Visit) { v.Header = http.Header{"Authorization": {"Bearer x"}} },
		map[string]doctor.Status{"token": failure, "large-headers": ok, "event-stream": skipped, "long-poll": skipped})
	check("another channel", "--channel", func(v *outside.Visit) { v.Channel = "other" },
		map[string]doctor.Status{"token": failure, "event-stream": skipped})
	check("a key", "POST /publish is accepted", func(v *outside.Visit) { v.PublishHeader = http.Header{"Authorization": {"Bearer " + key}} },
		map[string]doctor.Status{"token": ok, "publish": ok, "event-stream": ok, "websocket-delivery": ok, "long-poll": skipped})
	check("a backend's own way", "POST /publish is accepted", func(v *outside.Visit) {
		v.Publish, v.PublishHeader = &url.URL{Scheme: "http", Host: peal}, http.Header{"Authorization": {"Bearer " + key}}
	}, map[string]doctor.Status{"publish": ok})
	check("another way", "accepted on a WebSocket", func(v *outside.Visit) {
		v.Publish = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
		v.PublishHeader = http.Header{}
	}, map[string]doctor.Status{"publish": ok, "event-stream": ok})
	check("no way", "cannot publish", func(v *outside.Visit) { v.Header = reader(t) },
		map[string]doctor.Status{"publish": skipped, "event-stream": ok, "websocket": ok, "websocket-delivery": skipped})
	check("a strange page", "--allow-origin https://app.example", func(v *outside.Visit) { v.Origin = "https://app.example" },
		map[string]doctor.Status{"cors": failure, "host": ok})
}

// Without --auth token and --open, a server responds to addresses only.
func TestServerOfADeveloper(t *testing.T) {
	peal := serve(t, func(c *server.Config) { c.Auth, c.Token.Secrets = server.AuthOpen, nil })
	anonymous := func(v *outside.Visit) { v.Header, v.Quick = nil, true }
	r := examine(t, peal, anonymous)
	if got := faults(r); len(got) != 1 || got[0] != "host: failure" || !strings.Contains(text(r), "--auth token") {
		t.Errorf("by a name: %q\n%s", got, text(r))
	}
	r = examine(t, peal, func(v *outside.Visit) { anonymous(v); v.URL.Host = peal })
	noFault(t, r, "route", "event-stream", "websocket", "websocket-delivery", "host", "cors")
	if status(r, "authorization") != doctor.Skipped || status(r, "token") != doctor.Skipped {
		t.Errorf("%s", text(r))
	}
}

// What Peal compresses itself is no fault.
func TestCompressionOfPeal(t *testing.T) {
	peal := serve(t, func(c *server.Config) { c.Deflate, c.DeflateMinBytes = rules.Yes, 1 })
	r := examine(t, peal, func(v *outside.Visit) { v.Quick = true })
	noFault(t, r, "event-stream", "event-stream-compression", "websocket-delivery")
}

// A heartbeat that comes later than the visitor waits is a warning, and so no proof.
func TestHeartbeatThatDoesNotCome(t *testing.T) {
	peal := serve(t, func(c *server.Config) { c.Loop.Heartbeat = time.Hour })
	r := examine(t, peal, func(v *outside.Visit) { v.Idle, v.Poll = time.Second, time.Second })
	if got := strings.Join(faults(r), ", "); got != "idle-event-stream: warning, idle-websocket: warning" {
		t.Errorf("found %s\n%s", got, text(r))
	}
}
