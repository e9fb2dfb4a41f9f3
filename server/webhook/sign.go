package webhook

import (
	"net/http"
	"strconv"
	"time"

	"peal/server/outbound"
)

// App is what signs for an app of the Pusher protocol.
type App struct {
	Key       string
	Namespace string                   // that its channels begin with, "" or ending in a colon
	Sign      func(body []byte) string // X-Pusher-Signature
}

// sign sets the headers of one attempt. A repeat has the same id and another time. false: the app
// is not there any more.
func (p *endpoint) sign(h http.Header, id string, body []byte, now time.Time) bool {
	h.Set("Webhook-Id", id)
	at := strconv.FormatInt(now.Unix(), 10)
	h.Set("Webhook-Timestamp", at)
	if p.app == nil {
		h.Set("Webhook-Signature", outbound.Sign(p.secret, id, at, body))
		return true
	}
	app, ok := p.apps(p.App) // a reload may have changed it
	if ok {
		h.Set("X-Pusher-Key", app.Key)
		h.Set("X-Pusher-Signature", app.Sign(body))
	}
	return ok
}
