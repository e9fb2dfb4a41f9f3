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
)

// A message that went all the way is seen in what every room tells about it.
func TestOneMessageIsSeenByAllCounters(t *testing.T) {
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends below
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})

	url := "http://" + s.Addrs()[0].String()
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

	soon, stop := context.WithTimeout(context.Background(), 10*time.Second)
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
