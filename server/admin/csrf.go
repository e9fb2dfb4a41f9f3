package admin

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"

	"peal/server/inspect"
)

// csrfHeader has the token in requests that change something and come from a browser. A form, an
// image or a link of another site cannot set it, and a script of another site cannot read
// the token.
const csrfHeader = "Peal-CSRF"

var errCSRF = &inspect.Error{Status: http.StatusForbidden, Code: "csrf", Message: "a request from a browser that changes something needs the header " + csrfHeader + " with the token of GET /csrf: load the page again"}

// csrfKey is the token of one process.
type csrfKey string

func newKey() csrfKey { return csrfKey(rand.Text()) }

// permits reports whether a request changes nothing, comes from a program other than a browser,
// which nobody makes send anything, or has the token.
func (k csrfKey) permits(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	for _, name := range []string{"Origin", "Referer", "Cookie", "Sec-Fetch-Site", "Sec-Fetch-Mode"} {
		if r.Header.Get(name) != "" {
			return subtle.ConstantTimeCompare([]byte(r.Header.Get(csrfHeader)), []byte(k)) == 1
		}
	}
	return true
}
