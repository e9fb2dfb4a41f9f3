package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/rate"
	"peal/server/rules"
)

// Rates can be set, changed and lifted while the server runs.
func TestReloadOfRates(t *testing.T) {
	c := server.Config{Channels: []rules.Rule{{Match: "chat"}}}
	s, url := run(t, c)
	one := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: time.Minute} // connection
	defer one.CloseIdleConnections()
	status := func(channel string) int {
		t.Helper()
		response, err := one.Post(url+"/publish?channel="+channel, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body) // its status is enough
		return response.StatusCode
	}
	publish := func(channel string, want int) {
		t.Helper()
		for range 5 {
			if got := status(channel); got != want {
				t.Errorf("%s: %d, want %d", channel, got, want)
			}
		}
	}
	reload := func(connection, chat rate.Limit) {
		t.Helper()
		next := c
		next.HTTP.Rates.Connection = connection
		next.Channels = []rules.Rule{{Match: "chat", Rate: chat}}
		if err := s.Reload(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	slow := rate.Limit{Count: 1, Per: time.Minute, Burst: 1}
	publish("a", 200)
	reload(slow, rate.Limit{})
	if got := status("a"); got != 200 {
		t.Errorf("the first after the reload: %d", got)
	}
	publish("a", 429)
	publish("chat", 429)
	reload(slow, rate.Off)
	publish("chat", 200)
	publish("a", 429)
	if got := s.RateLimited(); got["connection"] != 15 || got["user"]+got["key"]+got["channel"] != 0 {
		t.Errorf("counted %v", got)
	}
	reload(rate.Limit{}, slow)
	publish("a", 200)
	if got := status("chat"); got != 200 {
		t.Errorf("the first with a rate of the rule: %d", got)
	}
	publish("chat", 429)
	if got := s.RateLimited(); got["connection"] != 15 || got["channel"] != 5 {
		t.Errorf("counted %v", got)
	}
	stats, err := s.FrontStats(t.Context())
	if err != nil || stats.Refusals["rate_limited"] != 20 {
		t.Errorf("%v refusals, %v", stats.Refusals["rate_limited"], err)
	}
	c.HTTP.Rates.User = rate.Limit{Count: 5, Per: time.Hour, Burst: 5}
	if err := s.Reload(t.Context(), c); err == nil {
		t.Error("a rate for each hour is accepted")
	}
}
