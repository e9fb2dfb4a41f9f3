package token

import (
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/grant"
	"peal/server/ijson"
	"peal/server/pattern"
	"peal/server/refusal"
)

// Limits of what a token may have.
const (
	MaxBytes     = 6 << 10 // of a whole token: it must fit into a head, beside other headers
	maxSubject   = 194     // the channel $user:SUBJECT has at most 200
	maxID        = 200
	maxPatterns  = 100 // of all lists together
	maxInfo      = 1 << 10
	maxDigits    = 12 // of a time in seconds; milliseconds have 13
	maxAudiences = 32
)

// actions are those that a token may grant, as members of the claim peal.
var actions = [...]grant.Action{grant.Subscribe, grant.Publish, grant.Presence}

// claims are those of a token that Peal knows, as they are before the signature is
// verified.
type claims struct {
	form        Form
	accessToken bool // RFC 9068: of Mercure 1.0

	issuer    string
	audiences []string
	subject   string
	id        string

	expires, notBefore, issued int64 // 0 if absent

	lists [len(actions)][]string // of patterns, by the index of actions
	info  string

	read  bool // UnmarshalJSON was called, which null avoids
	fault *refusal.Error

	// Empty. The library's own validation is off, because it comes after the signature
	// and accepts fractions: see check.
	jwt.RegisteredClaims
}

// UnmarshalJSON reads the claims strictly. A fault stays in c, for the caller of the
// parser.
func (c *claims) UnmarshalJSON(text []byte) error {
	c.read = true
	var r ijson.Reader
	r.Start(text)
	for r.Enter('{'); r.More(); {
		name := r.Name()
		c.claim(string(name), r.Value())
	}
	if r.End() != nil {
		c.fault = errClaims
	}
	return nil
}

func (c *claims) fail(err *refusal.Error) {
	if c.fault == nil {
		c.fault = err
	}
}

func (c *claims) claim(name string, v ijson.Value) {
	switch name {
	case "iss":
		c.issuer = c.text(v, errIssuer)
	case "aud":
		c.audiences = c.texts(v, maxAudiences, errAudience)
	case "sub":
		c.subject = c.name(v, maxSubject, errSubject)
	case "jti":
		c.id = c.name(v, maxID, errID)
	case "exp":
		c.expires = c.seconds(v)
	case "nbf":
		c.notBefore = c.seconds(v)
	case "iat":
		c.issued = c.seconds(v)
	case "peal":
		if c.form == Peal {
			c.peal(v)
		}
	case "authorization_details":
		if c.form == Mercure && c.accessToken {
			c.details(v)
		}
	case "mercure":
		if c.form == Mercure && !c.accessToken {
			c.mercure(v)
		}
	}
}

func (c *claims) text(v ijson.Value, err *refusal.Error) string {
	text, ok := v.Text()
	if !ok {
		c.fail(err)
	}
	return string(text)
}

// name reads what may be a part of the name of a channel.
func (c *claims) name(v ijson.Value, most int, err *refusal.Error) string {
	if c.form == Mercure {
		return optionalName(v, most)
	}
	name := c.text(v, err)
	if name == "" || len(name) > most || !pattern.IsPrintable([]byte(name)) {
		c.fail(err)
	}
	return name
}

// texts reads a string, or an array of at most that many.
func (c *claims) texts(v ijson.Value, most int, fault *refusal.Error) (texts []string) {
	var r ijson.Reader
	all, err := ijson.AppendTexts(nil, &r, v)
	if err != nil && err != ijson.ErrNoTexts || len(all) > most {
		c.fail(fault)
		return nil
	}
	for _, text := range all {
		texts = append(texts, string(text))
	}
	return texts
}

// seconds reads a time. Only digits are one: a fraction, an exponent and a string are
// read differently by different libraries.
func (c *claims) seconds(v ijson.Value) (at int64) {
	if c.form == Mercure {
		v = wholeSeconds(v)
	}
	if len(v) > maxDigits {
		c.fail(errTimes)
		return 0
	}
	for _, digit := range v {
		if digit < '0' || digit > '9' {
			c.fail(errTimes)
			return 0
		}
		at = at*10 + int64(digit-'0')
	}
	if at == 0 {
		c.fail(errTimes)
	}
	return at
}

// peal reads the claim that grants.
func (c *claims) peal(v ijson.Value) {
	var r ijson.Reader
	r.Start(v)
	patterns := 0
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		member := r.Value()
		if name == "info" {
			c.readInfo(member)
			continue
		}
		i := actionOf(name)
		if i < 0 || len(member) == 0 || member[0] != '[' {
			c.fail(errPeal)
			continue
		}
		c.lists[i] = c.texts(member, MaxBytes, errPeal)
		patterns += len(c.lists[i])
		c.checkPatterns(c.lists[i])
	}
	if r.End() != nil {
		c.fail(errPeal)
	}
	if patterns > maxPatterns {
		c.fail(errPatterns)
	}
}

func actionOf(name string) int {
	for i, a := range actions {
		if a.String() == name {
			return i
		}
	}
	return -1
}

func (c *claims) readInfo(v ijson.Value) {
	if len(v) == 0 || v[0] != '{' {
		c.fail(errPeal)
		return
	}
	c.info = string(v.Compact())
	if len(c.info) > maxInfo {
		c.fail(errInfo)
	}
}

func (c *claims) checkPatterns(list []string) {
	for _, text := range list {
		if strings.HasPrefix(text, "$") {
			c.fail(errReserved)
		} else if err := pattern.Check(text); err != nil {
			c.fail(invalid("a pattern of peal is wrong: " + err.Error()))
		}
	}
}

// check returns why a token with these claims is refused at a time in seconds,
// whatever its signature.
func (c *claims) check(config *Config, now int64) *refusal.Error {
	leeway := int64(config.Leeway / time.Second)
	switch {
	case !c.read:
		return errClaims
	case c.fault != nil:
		return c.fault
	case c.expires == 0 && (c.form == Peal || c.accessToken):
		return errNoExp
	case c.expires != 0 && c.expires+leeway <= now:
		return ErrExpired
	case c.notBefore > now+leeway:
		return ErrNotYet
	case c.issued > now+leeway:
		return ErrIssuedYet
	}
	// A revocation is remembered for the longest lifetime. Counted from now instead of
	// from iat, a token could be too young to be valid and outlive the memory of its
	// revocation.
	since := now + leeway
	if c.issued != 0 {
		since = c.issued
	}
	switch {
	case c.form == Peal && c.expires-since > int64(config.Lifetime/time.Second):
		return errTooLate
	case len(config.Issuers) > 0 && !contains(config.Issuers, c.issuer):
		return errIssuer
	case len(config.Audiences) > 0 && !contains(config.Audiences, c.audiences...):
		return errAudience
	case c.subject == "" && c.form == Peal:
		return errSubject
	}
	return nil
}

// ends is when the grant of the token ends, 0 for never.
func (c *claims) ends(config *Config) int64 {
	if c.expires == 0 {
		return 0
	}
	return c.expires + int64(config.Leeway/time.Second)
}

// contains reports whether one of texts is in list.
func contains(list []string, texts ...string) bool {
	for _, a := range list {
		for _, b := range texts {
			if a == b {
				return true
			}
		}
	}
	return false
}
