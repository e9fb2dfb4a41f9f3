package admin

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"peal/server/auth"
	"peal/server/credential"
	"peal/server/inspect"
)

// Access is who may use the listener, and how.
type Access struct {
	Policy *auth.Policy

	// Keys are those of operators; nil, or a nil Table: none is asked for. It may be stored to while the
	// listener serves.
	Keys *atomic.Pointer[credential.Table]

	// Log hears what operators change, and of keys that are wrong; nil for none.
	Log *slog.Logger

	csrf  csrfKey
	wrong atomic.Int64 // when the newest line about a wrong key was written, seconds since 1970
}

var (
	errKey = &inspect.Error{Status: http.StatusUnauthorized, Code: "operator_key", Message: "this listener needs the key of an operator (operator-keys): send Authorization: Bearer peal_…, in a browser any user name with the key as its password, with the commands --operator-key-file or PEAL_OPERATOR_KEY"}

	errRights = map[credential.Right]*inspect.Error{}
)

func init() {
	for _, r := range credential.Rights() {
		errRights[r] = &inspect.Error{Status: http.StatusForbidden, Code: "not_allowed", Message: "the key of this operator does not allow " + string(r) + ": add it to allow of the key in operator-keys"}
	}
}

// rightFor is what a request needs; "" for those of load balancers, which have no key.
func rightFor(r *http.Request) credential.Right {
	path := r.URL.Path
	switch {
	case path == "/healthz", path == "/readyz":
		return ""
	case strings.HasPrefix(path, "/debug/"): // profiles have command lines and memory
		return credential.Operate
	case r.Method == http.MethodGet, r.Method == http.MethodHead, r.Method == http.MethodOptions:
		return credential.Read
	case path == "/publish":
		return credential.Publish
	case path == "/disconnect", strings.HasPrefix(path, "/connections/"):
		return credential.Disconnect
	}
	return credential.Operate
}

// keyOf is the key that a request has, "" for none.
func keyOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok { // a browser asks for it
		return password
	}
	if kind, key, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(kind, "Bearer") {
		return strings.TrimSpace(key)
	}
	return ""
}

// operatorKey is where a request has its operator.
type operatorKey struct{}

// operatorOf is who has sent a request; nil where no key is needed.
func operatorOf(ctx context.Context) *credential.Operator {
	o, _ := ctx.Value(operatorKey{}).(*credential.Operator)
	return o
}

// admits reports whether the request has the key that it needs; else it responds. r is the request with
// its operator.
func (a *Access) admits(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	right := rightFor(r)
	if a.Keys == nil || right == "" {
		return r, true
	}
	table := a.Keys.Load()
	if table == nil {
		return r, true
	}
	key := keyOf(r)
	o, ok := table.Find(key)
	if !ok {
		if key != "" {
			a.wrongKey(r)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="Peal admin", charset="UTF-8"`)
		refuse(w, errKey)
		return r, false
	}
	if !o.May(right) {
		refuse(w, errRights[right])
		return r, false
	}
	return r.WithContext(context.WithValue(r.Context(), operatorKey{}, o)), true
}

// wrongKey logs one a second at most: it is not written what the key was.
func (a *Access) wrongKey(r *http.Request) {
	now := time.Now().Unix()
	if before := a.wrong.Load(); a.Log != nil && now != before && a.wrong.CompareAndSwap(before, now) {
		a.Log.Warn("admin: a request with a key that is none of an operator", "address", r.RemoteAddr, "method", r.Method)
	}
}

// changed logs what an operator has changed.
func (a *Access) changed(r *http.Request, status int) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return
	}
	if a.Log == nil {
		return
	}
	name := ""
	if o := operatorOf(r.Context()); o != nil {
		name = o.Name
	} else if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	a.Log.Info("admin request", "operator", name, "address", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "status", status)
}

// noted is a ResponseWriter that remembers the status.
type noted struct {
	http.ResponseWriter
	status int
}

func (n *noted) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }
