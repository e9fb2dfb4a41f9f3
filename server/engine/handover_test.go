package engine_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"peal/server/engine"
	"peal/server/log"
)

// tail has room and keeps nothing.
type handTail struct{}

func (handTail) Room(int, int) bool { return true }
func (handTail) Apply([]*log.Entry) {}
func (handTail) Wake()              {}

func TestEnginesSucceed(t *testing.T) {
	s := engine.Settings{}.WithDefaults(slog.New(slog.DiscardHandler))
	for _, name := range []string{"memory", "file:" + t.TempDir()} {
		l, err := engine.Open(name, s, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Start(handTail{}, func([]*log.Entry) {}); err != nil {
			t.Fatal(err)
		}
		h, err := l.(log.Outgoing).Offer()
		if err != nil {
			t.Fatal(err)
		}
		if scheme, _, _ := strings.Cut(name, ":"); h.Engine != scheme {
			t.Errorf("%s calls itself %q", name, h.Engine)
		}
		n, err := engine.Succeed(name, s, time.Now, h)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		h.Engine = "another"
		if n, err := engine.Succeed(name, s, time.Now, h); err == nil || n != nil || !strings.Contains(err.Error(), "configure the same") {
			t.Errorf("%s goes on with another engine: %v, %v", name, n, err)
		}
	}
	if n, err := engine.Succeed("nothing", s, time.Now, log.Handover{}); err == nil || n != nil {
		t.Errorf("an engine that there is none of: %v, %v", n, err)
	}
}
