package server_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server"
	"peal/server/rules"
)

// status publishes to a channel and returns the status of the response.
func status(t *testing.T, url, channel, data string) int {
	t.Helper()
	response, err := client.Post(url+"/publish?channel="+channel, "text/plain", strings.NewReader(data))
	if err != nil {
		t.Error(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// Requests that are under way see the old values or the new ones, never a mixture,
// and nothing that races with them.
func TestReloadWhileRequestsComeIn(t *testing.T) {
	c := server.Config{Channels: []rules.Rule{{Match: "small", MessageBytes: 10}}}
	s, url := run(t, c)
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := status(t, url, "small", strings.Repeat("x", 20)); got != 413 && got != 200 {
					t.Errorf("status %d, want 413 or 200", got)
				}
			}
		})
	}
	for i := range 50 {
		next := c
		next.Channels = []rules.Rule{{Match: "small", MessageBytes: 10 + 20*(i%2)}}
		next.HTTP.ChannelLimit = 1 + i%2
		if err := s.Reload(t.Context(), next); err != nil {
			t.Error(err)
		}
		if got, want := status(t, url, "small", strings.Repeat("x", 20)), 413-213*(i%2); got != want {
			t.Errorf("after reload %d: status %d, want %d", i, got, want)
		}
	}
	close(stop)
	publishers.Wait()
	if got := status(t, url, "a&channel=b", "x"); got != 200 {
		t.Errorf("two channels where two may be: %d", got)
	}
}

func TestReloadRefusesWhatItCannotApply(t *testing.T) {
	c := server.Config{Channels: []rules.Rule{{Match: "a", HistoryMessages: 5}}}
	s, url := run(t, c)
	for want, change := range map[string]func(*server.Config){
		"match and history":   func(c *server.Config) { c.Channels = []rules.Rule{{Match: "a", HistoryMessages: 6}} },
		"match and":           func(c *server.Config) { c.Channels = []rules.Rule{{Match: "b", HistoryMessages: 5}} },
		"limit of open files": func(c *server.Config) { c.Loop.MaxConnections = 1 << 30 },
		"power of two":        func(c *server.Config) { c.RingSlots = 1000 },
	} {
		next := c
		next.HTTP.ChannelLimit = 1
		change(&next)
		if err := s.Reload(t.Context(), next); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if got := status(t, url, "a&channel=b", "x"); got != 200 {
			t.Errorf("%s: the limit of channels is applied all the same: %d", want, got)
		}
	}
}

func TestReloadLimitsConnections(t *testing.T) {
	c := server.Config{}
	s, url := run(t, c)
	held, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	c.Loop.MaxConnections = 1
	if err := s.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; { // until the one that is held has been accepted
		response, err := client.Get(url + "/channels")
		if err == nil {
			response.Body.Close()
		}
		if err == nil && response.StatusCode == 503 || err != nil { // a reset may overtake the 503
			break
		}
		if time.Now().After(end) {
			t.Fatal("a second connection is served")
		}
	}
	c.Loop.MaxConnections = 100
	if err := s.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := status(t, url, "a", "x"); got != 200 {
		t.Errorf("after the limit was raised: %d", got)
	}
}
