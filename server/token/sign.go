package token

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are what Sign writes. Zero values are left out.
type Claims struct {
	Subject, ID, Issuer, Audience string
	Subscribe, Publish, Presence  []string // patterns: see pattern.Escape for values in them
	Info                          string   // a JSON object
	Issued                        time.Time
	Lifetime                      time.Duration // in whole seconds
}

// Sign returns a token, for development and tests: applications sign theirs with a
// library of their language. It refuses what Verify would refuse with the default
// configuration and secret; the error does not contain the secret.
func Sign(secret string, c Claims) (string, error) {
	if err := CheckSecret(secret); err != nil {
		return "", err
	}
	grants := map[string]any{}
	add := func(name string, list []string) {
		if len(list) > 0 {
			grants[name] = list
		}
	}
	add("subscribe", c.Subscribe)
	add("publish", c.Publish)
	add("presence", c.Presence)
	if c.Info != "" {
		if !json.Valid([]byte(c.Info)) {
			return "", errors.New(errPeal.Message)
		}
		grants["info"] = json.RawMessage(c.Info)
	}
	text := jwt.MapClaims{"sub": c.Subject, "iat": c.Issued.Unix(), "exp": c.Issued.Add(c.Lifetime).Unix(), "peal": grants}
	for name, value := range map[string]string{"jti": c.ID, "iss": c.Issuer, "aud": c.Audience} {
		if value != "" {
			text[name] = value
		}
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, text).SignedString([]byte(secret))
	if err != nil {
		return "", err
	}
	v, err := New(Config{Secrets: []string{secret}, Lifetime: max(c.Lifetime, time.Second), Now: func() time.Time { return c.Issued }})
	if err != nil {
		return "", err
	}
	if _, refused := v.Verify([]byte(signed)); refused != nil {
		return "", errors.New(refused.Message)
	}
	return signed, nil
}
