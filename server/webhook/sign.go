package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// App is what signs for an app of the Pusher protocol.
type App struct {
	Key       string
	Secret    string
	Namespace string // that its channels begin with, "" or ending in a colon
}

// sign sets the headers of one attempt. A repeat has the same id and another time.
func (p *endpoint) sign(h http.Header, id string, body []byte, now time.Time) {
	h.Set("Webhook-Id", id)
	at := strconv.FormatInt(now.Unix(), 10)
	h.Set("Webhook-Timestamp", at)
	if p.app != nil {
		h.Set("X-Pusher-Key", p.app.Key)
		h.Set("X-Pusher-Signature", pusherSignature([]byte(p.app.Secret), body))
		return
	}
	h.Set("Webhook-Signature", standardSignature(p.secret, id, at, body))
}

// pusherSignature is the hexadecimal HMAC of the body.
func pusherSignature(secret, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// standardSignature is that of Standard Webhooks, version 1: the HMAC of id, time and body,
// with points between them.
func standardSignature(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
