package main

import (
	"strings"
	"testing"
)

// What peal webhooks prints of a response, and that it fails if something is wrong.
func TestWebhooksAreShown(t *testing.T) {
	for _, k := range []struct {
		response, prints, fails string
	}{
		{`{"webhooks":[]}`, "no webhooks are configured", ""},
		{`{"delivers":true,"webhooks":[{"name":"shop","url":"https://a.example/","delivers":true,"delivered":7,"cursor":"1-2"}],"letters":[]}`, "shop     https://a.example/  7          0       0     0    0s   1-2     ok", ""},
		{`{"webhooks":[{"name":"shop","node":7}]}`, "another node delivers", ""},
		{`{"webhooks":[{"name":"shop"}]}`, "no node delivers yet", ""},
		{`{"delivers":true,"webhooks":[{"name":"shop","failing":true,"reason":"it responds with status 500"}]}`, "it responds with status 500", `webhook "shop" fails: it responds with status 500`},
		{`{"delivers":true,"webhooks":[],"letters":[{"id":"peal_1","webhook":"old","events":3,"attempts":4,"reason":"x"}],"dropped":2}`, "2 dead letters were lost", "1 dead letters"},
		{`{}`, "", "give the URL of the admin listener with /webhooks"},
		{`ok`, "", "give the URL of the admin listener with /webhooks"},
	} {
		var out strings.Builder
		err := showWebhooks(&out, k.response, false)
		if !strings.Contains(out.String(), k.prints) || (err == nil) != (k.fails == "") || err != nil && !strings.Contains(err.Error(), k.fails) {
			t.Errorf("%s\nprints %s\nerror %v", k.response, out.String(), err)
		}
	}
}
