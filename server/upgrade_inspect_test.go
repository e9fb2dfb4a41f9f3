package server_test

import (
	"bufio"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"peal/server"
	"peal/server/inspect"
)

// Behind an upgrade the operator sees as much as before it, and whoever watches the old process
// is sent away.
func TestAnUpgradeKeepsWhatIsSeen(t *testing.T) {
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Admin: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Version: "1"}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	c.Listen, c.Admin, c.Version = []string{l.Addrs()[0].String()}, l.AdminAddrs()[0].String(), "2"
	reader := follow(t, c.Listen[0], "channel=news&format=raw&client=ann")
	publish(t, c.Listen[0], "news", "before")
	reader.next(t)
	watcher, err := http.Get("http://" + c.Admin + "/live?every=1m")
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Body.Close()
	lines := bufio.NewScanner(watcher.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	l = l.handOver(t, c)
	said := ""
	for lines.Scan() {
		said += lines.Text() + "\n"
	}
	if said != "\nevent: upgraded\ndata: {}\n\n" {
		t.Errorf("the watcher of the old process hears %q", said)
	}
	page, err := l.Inspect(t.Context(), inspect.Query{User: "ann", Limit: 10})
	if err != nil || len(page.Connections) != 1 || page.Connections[0].Age == nil {
		t.Errorf("%+v, %v", page, err)
	}
	http.DefaultClient.CloseIdleConnections()
}
