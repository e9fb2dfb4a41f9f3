package app

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // body_md5 of the protocol
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signatureBytes is the length of a signature: hexadecimal digits of HMAC-SHA256.
const signatureBytes = 2 * sha256.Size

// AppendSignature appends the signature of the parts, one behind the other: 64
// hexadecimal digits. With the body of a webhook it is X-Pusher-Signature.
func (a *App) AppendSignature(dst []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, a.secret)
	for _, p := range parts {
		mac.Write(p)
	}
	var sum [sha256.Size]byte
	return hex.AppendEncode(dst, mac.Sum(sum[:0]))
}

// signed reports in constant time whether the signature is that of the parts.
func (a *App) signed(signature []byte, parts ...[]byte) bool {
	var space [signatureBytes]byte
	return subtle.ConstantTimeCompare(a.AppendSignature(space[:0], parts...), signature) == 1
}

// SignsChannel reports whether auth, KEY:SIGNATURE, lets the connection of a socket id
// subscribe to a channel, as its clients name it. data is channel_data, nil for none.
func (a *App) SignsChannel(auth, socketID, channel, data []byte) bool {
	signature, ok := a.cut(auth)
	if !ok {
		return false
	}
	if data == nil {
		return a.signed(signature, socketID, colon, channel)
	}
	return a.signed(signature, socketID, colon, channel, colon, data)
}

// SignsUser reports whether auth, KEY:SIGNATURE, lets the connection of a socket id be
// the user that data, user_data of the protocol, describes.
func (a *App) SignsUser(auth, socketID, data []byte) bool {
	signature, ok := a.cut(auth)
	return ok && a.signed(signature, socketID, userMark, data)
}

var colon, userMark = []byte(":"), []byte("::user::")

// cut is the signature in KEY:SIGNATURE; ok is false if the key is not that of the app.
func (a *App) cut(auth []byte) (signature []byte, ok bool) {
	key, signature, found := bytes.Cut(auth, colon)
	return signature, found && string(key) == a.Key
}

// Request is a request of the HTTP API, as it is signed.
type Request struct {
	Method   string
	Path     string // as it was sent
	RawQuery string
	Body     []byte
}

// Window is how far the time of a request may be from that of the server.
const Window = 600 * time.Second

// Found in signed requests. Their texts are for the backend's developer.
var (
	ErrQuery     = errors.New("the query of the request is not valid: send auth_key, auth_timestamp, auth_version, auth_signature and, with a body, body_md5, each once")
	ErrNames     = errors.New("two parameters of the query have names that differ only in upper and lower case, and the signature does not distinguish them: send each name once")
	ErrKey       = errors.New("auth_key is not the key of this app: check the id, the key and the secret of the app")
	ErrVersion   = errors.New("auth_version must be 1.0")
	ErrTimestamp = errors.New("auth_timestamp is not within 600 s of the server's clock: set the clock of your backend")
	ErrDigest    = errors.New("body_md5 is not the digest of the body: sign the bytes that are sent")
	ErrSignature = errors.New("auth_signature is wrong: sign METHOD, path and sorted query, each on a line, with the secret of this app")
)

// Verify returns nil if the request is signed with the secret of the app, at about now,
// else one of the errors above.
func (a *App) Verify(r Request, now time.Time) error {
	query, err := url.ParseQuery(r.RawQuery)
	if err != nil {
		return ErrQuery
	}
	if !distinct(query) {
		return ErrNames
	}
	one := func(name string) string {
		if len(query[name]) != 1 {
			return ""
		}
		return query[name][0]
	}
	seconds, err := strconv.ParseInt(one("auth_timestamp"), 10, 64)
	signature := one("auth_signature")
	switch {
	case err != nil, signature == "":
		return ErrQuery
	case one("auth_key") != a.Key:
		return ErrKey
	case one("auth_version") != "1.0":
		return ErrVersion
	}
	if !a.signsPath([]byte(signature), r.Path, r.Method, query) {
		return ErrSignature
	}
	// Behind the signature: only who has the secret learns more than that it is wrong.
	if d := now.Sub(time.Unix(seconds, 0)); d > Window || d < -Window {
		return ErrTimestamp
	}
	if len(r.Body) == 0 && one("body_md5") == "" {
		return nil
	}
	sum := md5.Sum(r.Body) //nolint:gosec // as the protocol says
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(strings.ToLower(one("body_md5")))) != 1 {
		return ErrDigest
	}
	return nil
}

// signsPath reports whether the signature is that of a path as it was sent, or as its sender
// had it before an HTTP client encoded it.
func (a *App) signsPath(signature []byte, path, method string, query url.Values) bool {
	if a.signed(signature, []byte(signedText(method, path, query))) {
		return true
	}
	plain, err := url.PathUnescape(path)
	return err == nil && plain != path && a.signed(signature, []byte(signedText(method, plain, query)))
}

// distinct reports whether the names of a query differ in more than case: it is signed with
// names in lower case, so which of two values belongs to which name would not be signed.
func distinct(query url.Values) bool {
	names := make(map[string]bool, len(query))
	for name := range query {
		names[strings.ToLower(name)] = true
	}
	return len(names) == len(query)
}

// signedText is what a request signs: its parameters in the order of their names in lower case,
// which must differ. Several values of one name are in the order in which they were sent.
func signedText(method, path string, query url.Values) string {
	names := slices.SortedFunc(maps.Keys(query), func(a, b string) int {
		return strings.Compare(strings.ToLower(a), strings.ToLower(b))
	})
	var pairs []string
	for _, name := range names {
		if name == "auth_signature" {
			continue
		}
		for _, value := range query[name] {
			pairs = append(pairs, strings.ToLower(name)+"="+value)
		}
	}
	return strings.ToUpper(method) + "\n" + path + "\n" + strings.Join(pairs, "&")
}

// Sign returns the query of a signed request: that of r, and the auth_ parameters in place of
// those that it has; or ErrQuery or ErrNames.
func (a *App) Sign(r Request, now time.Time) (string, error) {
	query, err := url.ParseQuery(r.RawQuery)
	if err != nil {
		return "", ErrQuery
	}
	query.Set("auth_key", a.Key)
	query.Set("auth_timestamp", strconv.FormatInt(now.Unix(), 10))
	query.Set("auth_version", "1.0")
	if len(r.Body) > 0 {
		sum := md5.Sum(r.Body) //nolint:gosec // as the protocol says
		query.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	query.Set("auth_signature", "") // it is not signed, and Verify compares its name, too
	if !distinct(query) {
		return "", ErrNames
	}
	query.Set("auth_signature", string(a.AppendSignature(nil, []byte(signedText(r.Method, r.Path, query)))))
	return query.Encode(), nil
}
