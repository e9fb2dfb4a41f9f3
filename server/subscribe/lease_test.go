package subscribe

import (
	"testing"
	"time"

	"peal/server/grant"
)

func TestClientsAreWarnedBeforeTheirTokenExpires(t *testing.T) {
	now := time.Unix(1000, 0)
	lengths := map[time.Duration]bool{}
	for range 200 {
		got := lease(&grant.Grant{Expires: 1000 + 3600}, now, true)
		if ahead := time.Hour - got; ahead < 10*time.Second || ahead > 30*time.Second {
			t.Fatalf("warned %v before the end", ahead)
		}
		lengths[got] = true
	}
	if len(lengths) < 100 {
		t.Errorf("%d different times: clients come together", len(lengths))
	}
	for _, c := range []struct {
		grant  *grant.Grant
		warned bool
		least  time.Duration
		most   time.Duration
	}{
		{nil, true, 0, 0},
		{&grant.Grant{Kind: grant.Backend}, true, 0, 0}, // keys do not expire
		{&grant.Grant{Expires: 1004}, true, 2 * time.Second, 2 * time.Second},
		{&grant.Grant{Expires: 1025}, true, 12500 * time.Millisecond, 15 * time.Second},
		{&grant.Grant{Expires: 1004}, false, 4 * time.Second, 4 * time.Second},
		{&grant.Grant{Expires: 1000}, false, time.Millisecond, time.Millisecond}, // within the leeway
		{&grant.Grant{Expires: 10}, true, 500 * time.Microsecond, time.Millisecond},
	} {
		if got := lease(c.grant, now, c.warned); got < c.least || got > c.most {
			t.Errorf("%+v, warned %v: %v, want %v to %v", c.grant, c.warned, got, c.least, c.most)
		}
	}
}
