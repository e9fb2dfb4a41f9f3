package inspect_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"peal/server/inspect"
)

func TestParseQuery(t *testing.T) {
	q, err := inspect.ParseQuery(url.Values{"channel": {"a b"}, "user": {"<ann>"}, "behind": {"1"}, "limit": {"7"}, "after": {"3.4096"}, "address": {"192.0.2.77/24"}})
	if err != nil || q.Channel != "a b" || q.User != "<ann>" || !q.Behind || q.Limit != 7 || q.Loop != 3 || q.Slot != 4096 || q.Prefix.String() != "192.0.2.0/24" {
		t.Errorf("%+v %v", q, err)
	}
	if q, err = inspect.ParseQuery(nil); err != nil || q.Limit != inspect.StandardPage || q.Address() != nil {
		t.Errorf("%+v %v", q, err)
	}
	if text := inspect.Next(3, 4096); text != "3.4096" {
		t.Error(text)
	}
	for text, addresses := range map[string]map[string]bool{
		"192.0.2.7":        {"192.0.2.7": true, "192.0.2.8": false, "::1": false},
		"192.0.2.0/24":     {"192.0.2.7": true, "192.0.3.7": false},
		"::ffff:192.0.2.7": {"192.0.2.7": true},
		"2001:db8::/32":    {"2001:db8::7": true, "2001:db9::7": false},
		"[2001:db8::7]":    {"2001:db8::7": true},
		"fe80::1%eth0":     {"fe80::1": true},
		"unix":             {"192.0.2.7": false, "": true},
	} {
		q, err := inspect.ParseQuery(url.Values{"address": {text}})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for a, want := range addresses {
			address, _ := netip.ParseAddr(a)
			if got := q.Address()(address); got != want {
				t.Errorf("%s fits %q: %v", text, a, got)
			}
		}
	}
	for query, code := range map[string]string{
		"chanel=a": "unknown_parameter", "channel=a&channel=b": "bad_parameter", "user=%ff": "bad_parameter", "behind=2": "bad_behind", "limit=0": "bad_limit", "limit=x": "bad_limit", "limit=1001": "bad_limit",
		"after=1": "bad_after", "after=.": "bad_after", "after=1.x": "bad_after", "after=70000.1": "bad_after", "after=1.4294967296": "bad_after", "after=-1.1": "bad_after",
		"address=x": "bad_address", "address=10.0.0.1:80": "bad_address", "address=10.0.0.0/33": "bad_address",
	} {
		values, _ := url.ParseQuery(query)
		if _, err := inspect.ParseQuery(values); err == nil || err.Code != code || err.Status != 400 || err.Message == "" {
			t.Errorf("%s: %v, want %s", query, err, code)
		}
	}
	values, _ := url.ParseQuery("chanel=a")
	if _, err := inspect.ParseQuery(values); !strings.Contains(err.Message, "did you mean channel?") {
		t.Error(err)
	}
	if err := inspect.Known(url.Values{strings.Repeat("é", 1<<16): {""}}, "a"); err == nil || len(err.Message) > 200 {
		t.Errorf("%d bytes of error", len(err.Message))
	}
}
