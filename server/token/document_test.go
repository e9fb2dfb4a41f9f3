package token_test

import (
	"os"
	"strings"
	"testing"

	"peal/server/grant"
)

// The claims that docs/tokens.md shows are accepted.
func TestDocumentedClaims(t *testing.T) {
	page, err := os.ReadFile("../../docs/tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```json\n")
	text, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("docs/tokens.md has no JSON")
	}
	g := accepted(t, verifier(t, config()), craft(goodHeader, text, secret))
	if g.Subject != "42" || g.Info != `{"name":"Ann"}` || !g.Allows(grant.Subscribe, "orders.42.1") || !g.Allows(grant.Publish, "chat.7") || !g.Allows(grant.Presence, "chat.7") {
		t.Errorf("%+v", g)
	}
}
