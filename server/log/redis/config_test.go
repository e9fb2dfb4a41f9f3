package redis

import (
	"slices"
	"strings"
	"testing"
)

func TestURLs(t *testing.T) {
	for text, want := range map[string]struct {
		addresses []string
		master    string
		name      string
		user      string
		database  int
		tls       bool
		redacted  string
	}{
		"redis://127.0.0.1:7000":                                             {addresses: []string{"127.0.0.1:7000"}, name: "peal", redacted: "redis://127.0.0.1:7000"},
		"redis://localhost/3?name=shop":                                      {addresses: []string{"localhost:6379"}, name: "shop", database: 3, redacted: "redis://localhost/3?name=shop"},
		"rediss://u:p%2Cq@r.example:6380":                                    {addresses: []string{"r.example:6380"}, name: "peal", user: "u", tls: true, redacted: "rediss://u:xxxxx@r.example:6380"},
		"redis://u:p,q@r.example":                                            {addresses: []string{"r.example:6379"}, name: "peal", user: "u", redacted: "redis://u:xxxxx@r.example"},
		"redis-sentinel://a:1,b:2,c/mymaster?name=x":                         {addresses: []string{"a:1", "b:2", "c:26379"}, master: "mymaster", name: "x", redacted: "redis-sentinel://a:1,b:2,c/mymaster?name=x"},
		"redis-sentinel://u:secret@a:1,b:2/mymaster":                         {addresses: []string{"a:1", "b:2"}, master: "mymaster", name: "peal", user: "u", redacted: "redis-sentinel://u:xxxxx@a:1,b:2/mymaster"},
		"redis-sentinel://a/m?sentinel_user=s&sentinel_password_file=/etc/x": {addresses: []string{"a:26379"}, master: "m", name: "peal", redacted: "redis-sentinel://a/m?sentinel_user=s&sentinel_password_file=/etc/x"},
		"redis://u:secret@a:1/":                                              {addresses: []string{"a:1"}, name: "peal", user: "u", redacted: "redis://u:xxxxx@a:1/"},
		"redis+unix:///run/redis/redis.sock?name=x&db=2":                     {addresses: []string{"/run/redis/redis.sock"}, name: "x", database: 2, redacted: "redis+unix:///run/redis/redis.sock?name=x&db=2"},
	} {
		o, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		c := &o.client
		if !slices.Equal(c.InitAddress, want.addresses) || c.Sentinel.MasterSet != want.master || o.name != want.name || c.Username != want.user || c.SelectDB != want.database || (c.TLSConfig != nil) != want.tls {
			t.Errorf("%s: %q, master %q, name %q, user %q, database %d, TLS %t", text, c.InitAddress, c.Sentinel.MasterSet, o.name, c.Username, c.SelectDB, c.TLSConfig != nil)
		}
		if got := Redacted(text); got != want.redacted {
			t.Errorf("%s is shown as %s, want %s", text, got, want.redacted)
		}
	}
	for text, want := range map[string]string{
		"redis://a?sentinel_user=x":                      "for redis-sentinel:// only",
		"redis-sentinel://a/m?sentinel_user=x":           "sentinel_password_file is missing",
		"redis-sentinel://a/m?sentinel_password_file=":   "sentinel_password_file is missing",
		"redis-sentinel://a/m?sentinel_password=:secret": "unknown parameter",
		"redis://u:se cret@a":                            "not a URL",
		"redis://u:secret@a:1,b:2":                       "only redis-sentinel",
		"redis://u:secret@a/secret":                      "a part of the URL is wrong",
		"redis-sentinel://u:secret@a:1":                  "name of the master",
		"redis://u:secret@a?name=x:y":                    "name",
		"redis://a?name=%00x":                            "name",
		"redis://a?names=shop":                           "unknown parameter",
		"redis://a?password=:secret":                     "unknown parameter",
		"redis:127.0.0.1:7000":                           "as in redis://HOST",
		"redis:u:secret@a":                               "percent-encoded",
		"redis://u:12/:secret@a":                         "percent-encoded",
		"redis://u:12?:secret@a":                         "percent-encoded",
		"redis://u:12#:secret@a":                         "percent-encoded",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), `"secret"`) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if strings.Contains(Redacted(text), ":secret") {
			t.Errorf("%s is shown as %s", text, Redacted(text))
		}
	}
}
