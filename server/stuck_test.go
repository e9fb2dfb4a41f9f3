package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/systemd"
)

// A loop that is blocked stops the watchdog of systemd, and one that turns again feeds
// it.
func TestABlockedLoopStopsTheWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notifier, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends with ctx
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	watching, stop := context.WithCancel(context.Background())
	stuck, failed, watched := s.StuckLoops(), make(chan error, 1000), make(chan struct{})
	go func() { // ends with watching
		defer close(watched)
		notifier.Watch(watching, 400*time.Millisecond, func(ctx context.Context) error {
			if loops := stuck(ctx); len(loops) > 0 {
				return fmt.Errorf("loops %v are stuck", loops)
			}
			return nil
		}, func(err error) { failed <- err })
	}()
	defer func() { stop(); <-watched }()
	fed := func() {
		t.Helper()
		manager.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 100)
		if n, err := manager.Read(b); err != nil || string(b[:n]) != "WATCHDOG=1" {
			t.Fatalf("%q, %v", b[:n], err)
		}
	}
	fed()
	blocked, release := make(chan struct{}), make(chan struct{})
	go s.EachLoop(ctx, func(loop int) { // ends with the loops' turns
		if loop == 0 {
			close(blocked)
			<-release
		}
	})
	<-blocked
	for n := 0; n < 2; { // the first check may have asked before
		if err := <-failed; strings.Contains(err.Error(), "0") {
			n++
		}
	}
	for { // what was sent before the loop was blocked
		manager.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := manager.Read(make([]byte, 100)); err != nil {
			break
		}
	}
	if err := <-failed; err == nil {
		t.Error("a check succeeded")
	}
	manager.SetReadDeadline(time.Now().Add(time.Millisecond)) // it would be here: the failure came behind it
	if n, err := manager.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes for the watchdog while a loop is blocked", n)
	}
	close(release)
	fed()
}
