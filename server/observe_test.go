package server_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/httpapi"
)

// run starts a server on a port of its own, which ends with the test.
func run(t *testing.T, c server.Config) (s *server.Server, url string) {
	t.Helper()
	c.Listen, c.Log = []string{"127.0.0.1:0"}, slog.New(slog.DiscardHandler)
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, "http://" + s.Addrs()[0].String()
}

// client has no connection left when it has its answer.
var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// A message that went all the way is seen in what every room tells about it.
func TestOneMessageIsSeenByAllCounters(t *testing.T) {
	s, url := run(t, server.Config{})
	stream, err := client.Get(url + "/sse?channel=a")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	answer, err := client.Post(url+"/publish?channel=a", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	for lines := bufio.NewScanner(stream.Body); lines.Scan() && lines.Text() != "data: hello"; {
	}

	soon, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	st, err := s.Stats(soon)
	if err != nil {
		t.Fatal(err)
	}
	var deliveries, observed uint64
	var sse int
	var took time.Duration
	for _, l := range st.Loops {
		deliveries += l.Fanout.Deliveries
		sse += l.Transports.SSE
		took += l.Fanout.Latency.Sum
		for _, n := range l.Fanout.Latency.Counts {
			observed += n
		}
	}
	if st.Sequence != 1 || s.LogHead() != 1 || st.Fronts.Publications["http"] != 1 || deliveries != 1 || observed != 1 || sse != 1 || took <= 0 {
		t.Errorf("one message to one stream: %s", st.JSON())
	}
}

func TestRequestLimitsReachTheFront(t *testing.T) {
	_, url := run(t, server.Config{HTTP: httpapi.Limits{ChannelLimit: 2}})
	for query, want := range map[string]int{"a": 200, "a&channel=b": 200, "a&channel=b&channel=c": 400} {
		answer, err := client.Post(url+"/publish?channel="+query, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", query, answer.StatusCode, want)
		}
	}
}

func TestABatchMustFitIntoTheInput(t *testing.T) {
	c := server.Config{}
	c.Loop.InputBytes = 512 << 10
	if err := c.Validate(); err != nil {
		t.Errorf("small input alone: %v", err)
	}
	if got := c.WithDefaults().HTTP.BatchLimit; got != 184<<10 {
		t.Errorf("a batch has %d B by default, want what fits into the input with its head and a read buffer, twice", got)
	}
	c.HTTP.BatchLimit = 1 << 20
	if err := c.Validate(); err == nil {
		t.Error("a batch larger than the input is taken")
	}
}
