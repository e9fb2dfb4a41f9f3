package loadtest

import (
	"fmt"
	"testing"

	"peal/loadtest/dialect"
)

func TestParseTarget(t *testing.T) {
	check := func(text, transport, path, channel string, peal bool) {
		t.Helper()
		got, err := ParseTarget(t.Context(), text, nil, dialect.Data{})
		if err != nil {
			t.Error(err)
			return
		}
		if string(got.Transport) != transport || got.Path != path || got.channel(1, 0) != channel || got.Peal() != peal || got.Addr != "127.0.0.1:8080" {
			t.Errorf("%s: %+v, channel %q, Peal %t", text, got, got.channel(1, 0), got.Peal())
		}
	}
	check("ws://127.0.0.1:8080/ws?channel=bench", "ws", "/ws", "bench", true)
	check("ws://127.0.0.1:8080", "ws", "/", "main", true)
	check("peal+ws://127.0.0.1:8080?channel=a", "ws", "/ws", "a", true)
	check("sse+http://127.0.0.1:8080?channel=a%20b", "sse", "/sse", "a b", true)
	check("poll+http://127.0.0.1:8080/poll?timeout=60&channel=a&format=raw", "poll", "/poll?timeout=60", "a", true)
	check("ws://127.0.0.1:8080/socket?token=x", "ws", "/socket?token=x", "main", false)
	check("pusher+ws://127.0.0.1:8080?channel=a&key=k&app=7", "ws", "/app/{key}?client=peal-load&protocol=7", "a", false)
	check("pusher+ws://127.0.0.1:8080/push/app/k?channel=a&app=7", "ws", "/push/app/{key}?client=peal-load&protocol=7", "a", false)
	for text, want := range map[string]string{
		"wss://127.0.0.1/x":                     "127.0.0.1:443",
		"peal+wss://127.0.0.1:8443":             "127.0.0.1:8443",
		"sse+https://[::1]/sse":                 "[::1]:443",
		"poll+https://[::1]:8080/poll":          "[::1]:8080",
		"centrifugo+wss://127.0.0.1":            "127.0.0.1:443",
		"mercure+https://127.0.0.1?channel=a":   "127.0.0.1:443",
		"pusher+wss://127.0.0.1:81/app/k?app=7": "127.0.0.1:81",
	} {
		if got, err := ParseTarget(t.Context(), text, nil, dialect.Data{}); err != nil || got.TLS == nil || got.Addr != want {
			t.Errorf("%s: %+v, %v; want TLS at %s", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:8080", "http://127.0.0.1", "w://127.0.0.1", "wsss://127.0.0.1", "ws://[fe80::1%25lo]/", "ws://", "ws://127.0.0.1:0", "ws://127.0.0.1:99999/",
		"ws://127.0.0.1/?channel=a&channel=b", "sse+http://127.0.0.1/?format=xml",
		"pusher+ws://127.0.0.1/", "pusher+ws://127.0.0.1/?key=k", "pusher+ws://127.0.0.1/?app=7", "pusher+ws://127.0.0.1/?key=k&app=7&secret=s"} {
		if got, err := ParseTarget(t.Context(), bad, nil, dialect.Data{}); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestPublishTargetFollowsFromAPeal(t *testing.T) {
	check := func(target, override string, channels, stream int, want string) {
		t.Helper()
		to, err := ParseTarget(t.Context(), target, nil, dialect.Data{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := to.Publish(t.Context(), override, "", channels)
		got := "error"
		if err == nil {
			got = fmt.Sprintf("%s%s %t", p.Addr, p.Path(stream), p.WebSocket)
		}
		if got != want {
			t.Errorf("%s, %q: %s (%v), want %s", target, override, got, err, want)
		}
	}
	check("ws://127.0.0.1:8080/ws?channel=a b", "", 1, 0, "127.0.0.1:8080/publish?channel=a+b false")
	check("sse+http://127.0.0.1:8080/sse?channel=a", "", 3, 2, "127.0.0.1:8080/publish?channel=a-2 false")
	check("ws://127.0.0.1:8080", "", 1, 0, "127.0.0.1:8080/publish?channel=main false")
	check("ws://127.0.0.1:8080/ws?channel=a&token=x%26y&last=1", "", 1, 0, "127.0.0.1:8080/publish?channel=a&token=x%26y false")
	check("ws://127.0.0.1:8080/x", "", 1, 0, "error")
	check("ws://127.0.0.1:8080/x", "ws://127.0.0.1:81/p/{channel}", 2, 1, "127.0.0.1:81/p/bench-1 true")
	check("ws://127.0.0.1:8080/x", "ws://127.0.0.1:81/p", 2, 1, "error")
	check("ws://127.0.0.1:8080/x", "https://127.0.0.1/p", 1, 0, "127.0.0.1:443/p false")
	check("wss://127.0.0.1:8443/ws?channel=a", "", 1, 0, "127.0.0.1:8443/publish?channel=a false")
	check("ws://127.0.0.1:8080/x", "ftp://127.0.0.1/p", 1, 0, "error")
	check("pusher+ws://127.0.0.1:8080?channel=a&key=k&app=7", "", 1, 0, "127.0.0.1:8080/apps/7/events?auth_key=k false")
	check("pusher+ws://127.0.0.1:8080?channel=a&key=k&app=7", "http://127.0.0.1:81", 1, 0, "127.0.0.1:81/apps/7/events?auth_key=k false")
}
