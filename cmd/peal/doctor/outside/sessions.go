package outside

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"peal/cmd/peal/doctor"
)

// How many sessions of the Pusher protocol over plain HTTP are opened, and how many requests follow
// for each, on a connection of their own.
const (
	pusherSessions = 4
	pusherRequests = 6
)

// sessions checks that the requests of a session of the Pusher protocol over plain HTTP reach the server
// that has it.
func (e *examination) sessions(ctx context.Context) {
	const check = "pusher-sessions"
	if e.AppKey == "" {
		return
	}
	each := *e
	each.Header = maps.Clone(e.Header)
	each.Header.Del("Authorization") // the protocol has no such thing
	each.plain = e.client(false)
	each.plain.Transport.(*http.Transport).DisableKeepAlives = true
	lost := 0
	for range pusherSessions {
		path := "pusher/app/" + url.PathEscape(e.AppKey) + "/1/" + rand.Text()[:12] + "/"
		r := each.ask(ctx, e.Patience, http.MethodPost, path+"xhr", url.Values{"protocol": {"7"}}, "", nil)
		switch {
		case r.code != "" || r.err != nil || !strings.HasPrefix(r.body, "o\n"):
			e.add(doctor.Fail(check, "a session gets "+r.String()+" "+r.message, "pusher-js cannot fall back to plain HTTP where WebSockets are refused", "configure an app (docs/pusher.md), and let POST requests to /pusher/app/ pass"))
			return
		case strings.Contains(r.body, "\nc["):
			e.add(doctor.Fail(check, "the session is closed: "+strings.TrimSpace(r.body[strings.LastIndex(r.body, "\nc["):]), "pusher-js cannot fall back to plain HTTP where WebSockets are refused", "give the key of an app to --app-key, and see docs/pusher.md for close codes"))
			return
		}
		for range pusherRequests {
			r := each.ask(ctx, e.Patience, http.MethodPost, path+"xhr_send", nil, "[]", http.Header{"Content-Type": {"application/json"}})
			switch {
			case r.code == "unknown_session":
				lost++
			case r.status != http.StatusNoContent:
				e.add(doctor.Fail(check, "a message of a session gets "+r.String()+" "+r.message, "clients over plain HTTP can send nothing", "let POST requests to /pusher/app/ pass"))
				return
			}
		}
	}
	if lost > 0 {
		e.fault(check, fmt.Sprintf("%d of %d requests of %d sessions reach a server that does not have the session (404 unknown_session)", lost, pusherSessions*pusherRequests, pusherSessions),
			"pusher-js over plain HTTP (xhr_streaming, xhr_polling) loses messages and connects anew all the time", notSticky)
		return
	}
	e.fine(check, "%d requests of %d sessions reach the server that has the session", pusherSessions*pusherRequests, pusherSessions)
}
