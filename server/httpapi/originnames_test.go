package httpapi_test

import (
	"testing"

	"peal/server/auth"
	"peal/server/httpapi"
)

// An origin that was numbered has a number in the process that comes next, too, whatever other numbers there are.
func TestOriginsAreHandedOverByName(t *testing.T) {
	old, next := httpapi.NewOrigins(&auth.Policy{Origins: []string{"https://a.example", "https://b.example"}}), httpapi.NewOrigins(&auth.Policy{Origins: []string{"https://b.example"}})
	for name, want := range map[string]string{"": "", "*": "*", "https://b.example": "https://b.example", "https://a.example": "*"} {
		n, ok := old.OriginOf(name)
		if got := old.OriginName(n); !ok || got != name {
			t.Errorf("origin %q has number %d, whose name is %q (%v)", name, n, got, ok)
		}
		n, ok = next.OriginOf(old.OriginName(n))
		if got := next.OriginName(n); !ok || got != want {
			t.Errorf("origin %q is %q in the next process (%v), want %q", name, got, ok, want)
		}
	}
}
