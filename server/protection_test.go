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
	"peal/server/app"
)

// alone runs a server until the function that it returns is called.
func alone(t *testing.T, c server.Config) (url string, end func()) {
	t.Helper()
	c.Listen, c.Log, c.Drain = []string{"127.0.0.1:0"}, slog.New(slog.DiscardHandler), time.Second
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // end waits for it
	return "http://" + s.Addrs()[0].String(), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// statusOf is that of a GET request.
func statusOf(t *testing.T, url string) (status int, body string) {
	t.Helper()
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// What was published on the private channels of an app is in the log: a server that starts on that log
// without the app must not show it.
func TestPrivateChannelsStayProtectedWithoutTheirApp(t *testing.T) {
	engine := "file:" + t.TempDir()
	withApp := server.Config{Engine: engine, Apps: []app.Definition{{ID: "7", Key: "shop-key", Secret: "shop-secret", Namespace: "shop:"}}}
	_, end := alone(t, withApp)
	end()
	for range 2 { // the second one finds it in the state, or in the entries
		url, end := alone(t, server.Config{Engine: engine})
		for _, channel := range []string{"shop:private-a", "shop:presence-a", "shop:%23server-to-user-1"} {
			for _, path := range []string{"/channels/" + channel + "/history", "/sse?channel=" + channel, "/channels/" + channel + "/presence"} {
				if status, body := statusOf(t, url+path); status != 403 || !strings.Contains(body, "channel_protected") {
					t.Errorf("%s: %d %.100s", path, status, body)
				}
			}
			if got := status(t, url, channel, "x"); got != 403 {
				t.Errorf("published on %s: %d", channel, got)
			}
		}
		for _, channel := range []string{"private-a", "other:private-a", "shop:orders"} {
			if got, _ := statusOf(t, url+"/channels/"+channel+"/history"); got != 200 {
				t.Errorf("%s: %d", channel, got)
			}
		}
		end()
	}
}

// An app that a reload adds protects channels that were open: those that read them must go.
func TestAnAppThatIsAddedEndsReadersOfItsPrivateChannels(t *testing.T) {
	c := server.Config{}
	s, url := run(t, c)
	read := func(query string) *bufio.Reader {
		r, err := client.Get(url + "/sse?" + query)
		if err != nil || r.StatusCode != 200 {
			t.Fatal(err, r)
		}
		t.Cleanup(func() { r.Body.Close() })
		lines := bufio.NewReader(r.Body)
		for { // until it is subscribed
			if line, err := lines.ReadString('\n'); err != nil || strings.HasPrefix(line, "retry:") {
				return lines
			}
		}
	}
	polled := make(chan int, 1)
	go func() {
		r, err := client.Get(url + "/poll?channel=private-b&timeout=60")
		if err != nil {
			polled <- 0
			return
		}
		r.Body.Close()
		polled <- r.StatusCode
	}()
	private, public := read("channel=orders&channel=private-a"), read("channel=orders")
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // until the poll is there
		if _, body := statusOf(t, url+"/channels/private-b"); strings.Contains(body, `"subscribers":1`) {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatal(body)
		}
	}
	c.Apps = []app.Definition{{ID: "7", Key: "shop-key", Secret: "shop-secret"}}
	if err := s.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(private); err != nil {
		t.Errorf("the reader of a private channel: %v", err)
	}
	if got := <-polled; got != http.StatusForbidden {
		t.Errorf("the poll of a private channel: %d", got)
	}
	if got := status(t, url, "orders", "to the public"); got != 200 {
		t.Error(got)
	}
	for {
		line, err := public.ReadString('\n')
		if err != nil {
			t.Fatalf("the reader of a public channel: %v", err)
		}
		if line == "data: to the public\n" {
			return
		}
	}
}
