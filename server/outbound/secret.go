package outbound

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Limits of what is configured, in bytes; those of a secret are of Standard Webhooks.
const (
	mostURL     = 2048
	LeastSecret = 24
	MostSecret  = 512
)

// secretPrefix begins secrets of Standard Webhooks, which are base64 behind it.
const secretPrefix = "whsec_"

// ParseSecret returns the bytes of a secret. The error does not repeat it.
func ParseSecret(text string) ([]byte, error) {
	key := []byte(text)
	if rest, ok := strings.CutPrefix(text, secretPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(rest); err != nil {
			return nil, errors.New("secret: begins with whsec_, and what follows is not base64: copy it again, or use a text without whsec_")
		}
	}
	if len(key) < LeastSecret || len(key) > MostSecret {
		return nil, fmt.Errorf("secret: has %d bytes: must have %d to %d, as whsec_ and the output of openssl rand -base64 32", len(key), LeastSecret, MostSecret)
	}
	return key, nil
}

// ReadSecret is ParseSecret for the text, or for that of a file if it is not "".
func ReadSecret(text, file string) ([]byte, error) {
	if file == "" {
		return ParseSecret(text)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("secret-file: %w", err)
	}
	key, err := ParseSecret(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("secret-file %s: %w", file, err)
	}
	return key, nil
}

// CheckSecret finds out whether requests can be signed: by one of a secret, a file with it, and,
// where there are apps, the secret of an app. app is nil where there are none. It does not read
// the file, and the error does not repeat the secret.
func CheckSecret(secret, file string, app *string) error {
	set, choice, names := 0, "secret-file or secret", "secret and secret-file"
	for _, text := range []string{secret, file} {
		if text != "" {
			set++
		}
	}
	if app != nil {
		choice, names = "secret-file, secret, or app", "secret, secret-file and app"
		if *app != "" {
			set++
		}
	}
	switch {
	case set == 0:
		return errors.New("has nothing to sign with: set " + choice)
	case set > 1:
		return errors.New("sets more than one of " + names + ": keep one")
	case secret != "":
		_, err := ParseSecret(secret)
		return err
	}
	return nil
}

// Sign is the signature of Standard Webhooks, version 1: the HMAC of id, time (seconds since
// 1970) and body, with points between them.
func Sign(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// CheckURL finds out whether requests can be sent to a URL. private is that of NewClient. The
// error does not repeat the URL: its query may be secret.
func CheckURL(text string, private bool) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return errors.New("has no url: set it to where events are sent, as in https://app.example/hooks")
	case len(text) > mostURL || err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("url: must be an absolute URL of at most 2048 bytes, as in https://app.example/hooks")
	case u.User != nil:
		return errors.New("url: has a user name or password: remove it; the signature says that Peal sends")
	case u.Fragment != "":
		return errors.New("url: has a fragment (#), which is never sent: remove it")
	case u.Scheme == "http" && !private:
		return errors.New("url: http sends events in clear text: use https, or set allow-private: true for an endpoint in your own network")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("url: must begin with https://")
	}
	return nil
}

// Redacted is a URL without its query, for people.
func Redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not a URL)"
	}
	u.User, u.Fragment = nil, ""
	if u.RawQuery != "" {
		u.RawQuery = "(not shown)"
	}
	return strings.ReplaceAll(u.String(), "%28not%20shown%29", "(not shown)")
}
