package chaos

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestATokenForbidsWhatItDoesNotGrant(t *testing.T) {
	l := &ledger{}
	before := l.begin(1)
	a := &Access{Secret: "secret"}
	p := a.newProof(7, []int32{1}, time.Now(), shortestProof, "7-1")
	if why := p.forbids(l, before); why != "" {
		t.Errorf("a message that it grants: %s", why)
	}
	if why := p.forbids(l, l.begin(2)); !strings.Contains(why, "grant") {
		t.Errorf("another channel: %q", why)
	}
	p.revoked.Store(l.next())
	if why := p.forbids(l, before); why != "" {
		t.Errorf("published before the revocation: %s", why)
	}
	if why := p.forbids(l, l.begin(1)); !strings.Contains(why, "revoked") {
		t.Errorf("published after the revocation: %q", why)
	}
	old := a.newProof(7, []int32{1}, time.Now().Add(-time.Hour), shortestProof, "7-2")
	if why := old.forbids(l, before); !strings.Contains(why, "expired") {
		t.Errorf("published after the end: %q", why)
	}
	if !old.over() || a.newProof(7, nil, time.Now(), time.Minute, "7-3").over() {
		t.Error("a token that has expired is over, and a new one is not")
	}
}

// A token without channels has an empty list: null would not be one.
func TestTokensAreSignedWithTheirClaims(t *testing.T) {
	for _, c := range []struct {
		channels []int32
		want     string
	}{{nil, `[]`}, {[]int32{3, 4}, `["c3","c4"]`}} {
		parts := strings.Split((&Access{Secret: "x"}).newProof(7, c.channels, time.Unix(1e9, 0), 2*time.Second, "7-1").text, ".")
		if len(parts) != 3 {
			t.Fatal(parts)
		}
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			Sub, Jti string
			Exp      int64
			Peal     struct{ Subscribe json.RawMessage }
		}
		if err := json.Unmarshal(text, &claims); err != nil || claims.Sub != "client-7" || claims.Jti != "7-1" || claims.Exp != 1e9+3 || string(claims.Peal.Subscribe) != c.want {
			t.Errorf("%v: %s", err, text)
		}
	}
}
