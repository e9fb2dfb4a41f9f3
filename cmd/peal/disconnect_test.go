package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A disconnected subscriber ends, on each transport, and gives the reason;
// one of another name stays.
func TestSubEndsWhenItIsDisconnected(t *testing.T) {
	url := serving(t)
	ok(t, "", "pub", "--url", url, "a", "hi")
	for _, transport := range allTransports {
		out := &signalled{wrote: make(chan struct{})}
		ended := make(chan error, 1)
		args := []string{"sub", "a", "--last", "1", "--url", url, "--transport", transport, "--client", transport}
		go func() { ended <- run(context.Background(), args, nil, out, io.Discard) }() // ends with what is tested
		<-out.wrote
		for _, client := range []string{"somebody-else", transport} {
			answer, err := http.Post(url+"/disconnect?client="+client, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
		}
		select {
		case err := <-ended:
			if err == nil || exitCode(err) != 1 || !strings.Contains(err.Error(), "disconnected") {
				t.Errorf("%s: it ends with %v", transport, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: it does not end", transport)
		}
	}
}
